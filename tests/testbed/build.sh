#!/usr/bin/env bash
# Builds each component once, keeps it under ~/.cache/lockstep/testbed/<name>-<hash>, and links what it holds into a folder.
# usage: build.sh FOLDER NAME...    NAME: see the table at the end; `testbed` = all that `up.sh` needs, `tools` = what tests run,
# `peers` = what benchmarks compare with
#
# The hash is over the toolchain and all that the component is made from: a stale one is never used, a missing one is built.
# `.complete` is written last and a lock guards the build, so several checkouts and test runs may share the cache.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/versions.sh"
cache=${LOCKSTEP_CACHE:-$HOME/.cache/lockstep}/testbed
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOTOOLCHAIN=local GOWORK=off
linked=${1:?folder for the links}; shift
mkdir -p "$linked"

# once NAME KEY COMMAND...: runs COMMAND with OUT=a new folder, unless the folder of this key is complete; then links it.
once() {
  local name=$1 key=$2; shift 2
  local folder=$cache/$name-$(sha256sum <<<"$key" | cut -c1-16)
  if [ ! -e "$folder/.complete" ]; then
    mkdir -p "$folder"
    exec 9>"$folder/.lock"; flock 9
    if [ ! -e "$folder/.complete" ]; then
      echo "building $name into $folder" >&2
      rm -rf "${folder:?}"/* # what a build left that was stopped
      (export OUT=$folder; "$@" 9>&-) >&2
      touch "$folder/.complete"
      find "$cache" -mindepth 1 -maxdepth 1 -name "$name-*" -mtime +30 -exec rm -rf {} + # nobody has used these for a month
    fi
    exec 9>&-
  fi
  touch "$folder"
  for file in "$folder"/*; do ln -sfn "$file" "$linked/${file##*/}"; done
}

toolchain=$(go version)
go_key() { echo "$toolchain"; cat "$@"; }
# ours FOLDER BINARY [LINKER-FLAGS]: one of our own Go modules.
ours() {
  local folder=$here/$1
  once "$1" "$(go_key "$folder"/*.go "$folder"/go.{mod,sum}; echo "${3:-}")" compile "$folder" "$2" "${3:-}"
}
compile() { (cd "$1" && go build -trimpath -ldflags "-s -w $3" -o "$OUT/$2" .); }
# peer PACKAGE: one of the originals that we are compared with; ../bench/peers pins what it is made from.
peer() {
  local folder=$here/../bench/peers/${1##*/}
  once "${1##*/}" "$(go_key "$folder"/go.{mod,sum})" compile_peer "$folder" "$1"
}
compile_peer() {
  cd "$1"
  go build -trimpath -ldflags '-s -w' -o "$OUT/" "$2"
  local crds; crds=$(go list -m -f '{{.Dir}}' "$2")/config
  mkdir "$OUT/${2##*/}-crds"
  cp "$crds"/crd{,s}/bases/*_*.yaml "$OUT/${2##*/}-crds/" 2>/dev/null || [ -n "$(ls "$OUT/${2##*/}-crds")" ]
}
# published NAME PACKAGE...: commands of a published Go module.
published() { local name=$1; shift; once "$name" "$toolchain $*" install_all "$@"; }
install_all() { for package in "$@"; do GOBIN=$OUT go install -trimpath -ldflags '-s -w' "$package"; done; }

control_plane() {
  local stamp=k8s.io/component-base/version minor=${kubernetes#v1.} # without these the server calls itself v0.0.0-master
  ours control-plane testbed "-X $stamp.gitVersion=$kubernetes -X $stamp.gitMajor=1 -X $stamp.gitMinor=${minor%%.*}"
  ln -sfn testbed "$linked/kubectl"
}
azure() { once azure "$(node --version; cat "$here"/azure/*.{mjs,json})" install_node "$here/azure"; }
install_node() { cp "$1"/*.{mjs,json} "$OUT" && (cd "$OUT" && npm ci --silent --no-audit --no-fund); }
judges() { once judges "$(go_key "$here"/keyvault/*.go "$here"/keyvault/go.{mod,sum})" compile_tests "$here/keyvault"; }
compile_tests() { (cd "$1" && go test -c -trimpath -o "$OUT/keyvault-clients" .); }
cargo_deny() { once cargo-deny "$(rustc --version; echo "$cargo_deny")" install_cargo_deny; }
# Unoptimized: it runs for seconds, and takes minutes to build. Its registry's TLS is not ours, and we never let it fetch.
install_cargo_deny() {
  CARGO_TARGET_DIR=$OUT.build CARGO_PROFILE_DEV_DEBUG=false cargo install --quiet --debug --locked --no-track --root "$OUT" "cargo-deny@$cargo_deny"
  mv "$OUT/bin/cargo-deny" "$OUT/"; rm -r "$OUT/bin" "$OUT.build"
}

for name in "$@"; do
  case $name in
    testbed) "$0" "$linked" keyvault registry transit kms azure control-plane kwok ;;
    tools) "$0" "$linked" judges helm age kustomize flux sops crane source-controller ;;
    peers) "$0" "$linked" source-controller kustomize-controller helm-controller external-secrets ;;
    control-plane) control_plane ;;
    kwok) published kwok "sigs.k8s.io/kwok/cmd/kwok@$kwok" ;;
    keyvault) ours keyvault keyvault ;;
    registry) ours registry oci ;;
    transit) ours transit transit ;;
    kms) ours kms kms ;;
    azure) azure ;;
    judges) judges ;;
    helm) published helm "helm.sh/helm/v4/cmd/helm@$helm" ;;
    sops) published sops "github.com/getsops/sops/v3/cmd/sops@$sops" ;;
    kustomize) published kustomize "sigs.k8s.io/kustomize/kustomize/v5@$kustomize" ;;
    crane) published crane "github.com/google/go-containerregistry/cmd/crane@$crane" ;;
    age) published age "filippo.io/age/cmd/age@$age" "filippo.io/age/cmd/age-keygen@$age" ;;
    flux) once flux "$(go_key "$here/flux-cli/build.sh"; echo "$flux")" "$here/flux-cli/build.sh" "$flux" ;;
    cargo-deny) cargo_deny ;;
    *-controller) peer "github.com/fluxcd/$name" ;;
    external-secrets) peer github.com/external-secrets/external-secrets ;;
    *) echo "unknown component $name" >&2; exit 2 ;;
  esac
done
