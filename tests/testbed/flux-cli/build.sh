#!/usr/bin/env bash
# Builds the flux CLI from its published module. usage: build.sh VERSION [manifest files...]    env: OUT (folder of the binary)
# The module lacks the generated cmd/flux/manifests/*.yaml that its code embeds, and `go build -overlay` refuses to add files
# below GOMODCACHE, so the module is copied out and given manifests: those named, or an empty one.
set -euo pipefail
version=${1:?version}; shift
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp -r "$(go mod download -json "github.com/fluxcd/flux2/v2@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')/." "$work"
chmod -R u+w "$work"
mkdir "$work/cmd/flux/manifests"
if [ $# -gt 0 ]; then cp "$@" "$work/cmd/flux/manifests/"; else printf '# empty\n' > "$work/cmd/flux/manifests/empty.yaml"; fi
cd "$work"
go build -trimpath -ldflags "-s -w -X main.VERSION=${version#v}" -o "${OUT:?}/flux" ./cmd/flux
