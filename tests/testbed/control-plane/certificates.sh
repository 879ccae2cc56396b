# Sourced by up.sh: a throw-away CA for this testbed, and what it signs. Go and OpenSSL clients take it by SSL_CERT_FILE,
# Node by NODE_EXTRA_CA_CERTS, curl by --cacert, git by GIT_SSL_CAINFO, Flux by `ca.crt` in a Secret.
new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
sign() { # name subject extensions
  new_key "$1"
  openssl req -new -key "$1.key" -subj "$2" | openssl x509 -req -CA ca.crt -CAkey ca.key -days 3650 \
    -set_serial "0x$(openssl rand -hex 8)" -extfile <(printf '%s' "$3") -out "$1.crt" 2>/dev/null
}
serves() { sign "$1" "/CN=$1" $'extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1,DNS:localhost'"$2"; } # name names

make_certificates() {
  if [ -n "${CA_OF:-}" ]; then
    cp "$CA_OF"/pki/ca.{crt,key} .
  else
    new_key ca
    openssl req -x509 -new -key ca.key -days 3650 -subj /CN=lockstep-testbed -out ca.crt
  fi
  serves kube-apiserver ,IP:10.96.0.1,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc
  serves azure ,DNS:login.microsoftonline.com,DNS:*.vault.azure.net
  serves clouds ,DNS:oauth2.googleapis.com,DNS:sts.googleapis.com,DNS:iamcredentials.googleapis.com,DNS:cloudkms.googleapis.com,DNS:*.eu-west-1.amazonaws.com,DNS:portal.sso.eu-west-1.amazonaws.com
  serves sources ,DNS:github.com,DNS:ghcr.io,DNS:charts.example.com
  sign admin /O=system:masters/CN=admin $'extendedKeyUsage=clientAuth'
  openssl genrsa -out sa.key 2048 2>/dev/null
  openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
  printf 'admin-token,admin,admin,"system:masters"\n' > tokens.csv
  cat > admin.kubeconfig <<K
apiVersion: v1
kind: Config
clusters: [{name: testbed, cluster: {server: "https://127.0.0.1:$port", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: admin, user: {client-certificate-data: $(base64 -w0 admin.crt), client-key-data: $(base64 -w0 admin.key)}}]
contexts: [{name: testbed, context: {cluster: testbed, user: admin}}]
current-context: testbed
K
}
cd "$data/pki" && make_certificates && cd "$here"
