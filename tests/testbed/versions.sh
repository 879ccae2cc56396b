# Every version that the tests install, once. Versions of Go modules that we link stand in the go.mod beside them, jose's in
# azure/package.json. The Go proxy may refuse one version while it serves another: try a new one before it is written here.
kubernetes=v1.36.2 # as in control-plane/go.mod
kwok=v0.8.0
helm=v4.2.4
sops=v3.13.2
kustomize=v5.8.1
age=v1.3.1
flux=v2.9.4
crane=v0.21.6
cargo_deny=0.20.2
debian_packages=(lighttpd lighttpd-mod-openssl openssh-server openssh-client git curl openssl gpg gpg-agent)
