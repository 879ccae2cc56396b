#!/usr/bin/env bash
# Lockstep's image, made and moved without a container engine: what a registry needs is tar, sha256 and HTTP.
# usage: image.sh build FOLDER             into an OCI image layout; prints the manifest's digest
#        image.sh push FOLDER REFERENCE    prints the reference by digest, as a Deployment should name it
#        image.sh pull REFERENCE FOLDER    the inverse of push; every digest is checked
# REFERENCE: HOST[:PORT]/REPOSITORY[:TAG][@DIGEST], by https; http:// before it, if HOST is loopback.
# env: PROFILE      cargo's profile (default dist, which takes minutes)
#      CA_BUNDLE    certificate authorities that the image trusts (default Debian's)
#      REGISTRY_USER, REGISTRY_PASSWORD; curl's CURL_CA_BUNDLE for a registry with a CA of its own, and HTTPS_PROXY
#
# The image is the binary, the CA bundle and an empty /tmp: no shell, no libc. The binary brings glibc along, whose resolver
# reads /etc/resolv.conf and /etc/hosts and loads nothing. The same sources, toolchain, CA bundle and checkout path make the
# same digest; the layer's times are 0, and `created` is the commit's.
set -euo pipefail
umask 022
root=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d); trap 'rm -rf "$scratch"' EXIT
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml")
manifest_type=application/vnd.oci.image.manifest.v1+json

fail() { echo "image.sh: $*" >&2; exit 1; }
digest() { echo "sha256:$(sha256sum "$1" | cut -d' ' -f1)"; }
blob() { echo "$1/blobs/${2/://}"; } # FOLDER DIGEST: the file
keep() { # FOLDER FILE: becomes a blob; prints its digest
  local it; it=$(digest "$2"); mv "$2" "$(blob "$1" "$it")"; echo "$it"
}
described() { printf '{"mediaType":"%s","digest":"%s","size":%s' "$1" "$3" "$(stat -c %s "$(blob "$2" "$3")")"; } # TYPE FOLDER DIGEST
layout() { # FOLDER: an empty one
  rm -rf "$1"; mkdir -p "$1/blobs/sha256"
  echo '{"imageLayoutVersion":"1.0.0"}' >"$1/oci-layout"
}
index() { # FOLDER MANIFEST-DIGEST
  printf '{"schemaVersion":2,"manifests":[%s}]}\n' "$(described "$manifest_type" "$1" "$2")" >"$1/index.json"
}

# The option goes to the last crate alone, where it says how to link: nothing that is built already is built again.
binary() {
  cd "$root"
  cargo rustc --quiet --locked --bin lockstep --profile "${PROFILE:-dist}" --message-format=json-render-diagnostics -- -C target-feature=+crt-static |
    sed -n 's/.*"name":"lockstep".*"executable":"\([^"]*\)".*/\1/p'
}

build() {
  local folder=$1 tree=$scratch/tree built created revision layer plain labels config architecture
  case $(uname -m) in x86_64) architecture=amd64 ;; aarch64) architecture=arm64 ;; *) fail "no name for $(uname -m)" ;; esac
  built=$(binary); [ -n "$built" ] || fail "cargo names no binary"
  mkdir -p "$tree/etc/ssl/certs" "$tree/tmp"; chmod 1777 "$tree/tmp"
  install -m 755 "$built" "$tree/lockstep"
  install -m 644 "${CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}" "$tree/etc/ssl/certs/ca-certificates.crt"
  tar -C "$tree" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar -cf "$scratch/layer" etc lockstep tmp
  plain=$(digest "$scratch/layer")
  gzip -n "$scratch/layer"
  layout "$folder"; layer=$(keep "$folder" "$scratch/layer.gz")

  revision=$(git -C "$root" describe --always --abbrev=40 --exclude='*' --dirty 2>/dev/null) || revision=unknown
  created=$(git -C "$root" log -1 --format=%ct 2>/dev/null) || created=0
  created=$(date -u -d "@$created" +%Y-%m-%dT%H:%M:%SZ)
  labels=$(printf '"org.opencontainers.image.%s":"%s",' title Lockstep licenses Apache-2.0 version "$version" revision "$revision" \
    created "$created" description "$(sed -n 's/^description = "\(.*\)"/\1/p' "$root/Cargo.toml")")
  printf '{"architecture":"%s","os":"linux","created":"%s","config":{"User":"65532:65532","Entrypoint":["/lockstep"],"Labels":{%s}},"rootfs":{"type":"layers","diff_ids":["%s"]}}' \
    "$architecture" "$created" "${labels%,}" "$plain" >"$scratch/config"
  config=$(keep "$folder" "$scratch/config")
  printf '{"schemaVersion":2,"mediaType":"%s","config":%s},"layers":[%s}],"annotations":{%s}}' "$manifest_type" \
    "$(described application/vnd.oci.image.config.v1+json "$folder" "$config")" \
    "$(described application/vnd.oci.image.layer.v1.tar+gzip "$folder" "$layer")" "${labels%,}" >"$scratch/manifest"
  index "$folder" "$(keep "$folder" "$scratch/manifest")"
  manifest_of "$folder"
}

manifest_of() { sed -n 's/.*"manifests":\[{[^}]*"digest":"\([^"]*\)".*/\1/p' "$1/index.json"; }
blobs_of() { grep -o '"digest": *"sha256:[0-9a-f]*"' "$1" | cut -d'"' -f4; } # FILE of a manifest: its config and layers

# Takes a reference apart: scheme, host, repository, tag, pinned.
parse() {
  scheme=https; local rest=$1
  if [[ $rest == http://* ]]; then
    scheme=http rest=${rest#http://}
    [[ $rest =~ ^(127\.0\.0\.1|localhost)[:/] ]] || fail "http is for loopback: passwords would travel in the open"
  fi
  pinned=; [[ $rest == *@* ]] && pinned=${rest#*@} rest=${rest%%@*}
  host=${rest%%/*} repository=${rest#*/}; [ "$host" != "$rest" ] || fail "$1 names no repository"
  tag=v$version; [[ $repository == *:* ]] && tag=${repository##*:} repository=${repository%:*}
  base=$scheme://$host/v2/$repository
}

# ask URL OPTION...: curl, with the answer's head in $scratch/head. Passwords go by a file, never by a command line.
ask() { local url=$1; shift; curl -sS --proto "=$scheme" --retry 2 -D "$scratch/head" -H @"$scratch/authorization" "$@" "$url"; }
must() { ask "$@" --fail-with-body || fail "$1: $(head -n 1 "$scratch/head" 2>/dev/null)"; }
field() { sed -n "s/^$1: *\([^\r]*\).*/\1/Ip" "$scratch/head" | tail -n 1; }

# As the registry wants it: not at all, by password, or by a token that the password buys. Tokens may last a minute only, so
# every transfer begins with one.
sign_in() { # ACTIONS
  local challenge basic realm service
  : >"$scratch/authorization"
  ask "$scheme://$host/v2/" -o "$scratch/answer"
  challenge=$(field www-authenticate); [ -n "$challenge" ] || return 0
  basic=; [ -z "${REGISTRY_USER:-}" ] || basic="Authorization: Basic $(printf %s "$REGISTRY_USER:${REGISTRY_PASSWORD:-}" | base64 -w 0)"
  (umask 077; echo "$basic" >"$scratch/authorization.new"); mv "$scratch/authorization.new" "$scratch/authorization"
  [[ ${challenge,,} == bearer* ]] || return 0
  realm=$(sed -n 's/.*realm="\([^"]*\)".*/\1/p' <<<"$challenge") service=$(sed -n 's/.*service="\([^"]*\)".*/\1/p' <<<"$challenge")
  must "$realm" -G --data-urlencode "service=$service" --data-urlencode "scope=repository:$repository:$1" -o "$scratch/answer"
  (umask 077; sed -n 's/.*"\(access_\)\{0,1\}token": *"\([^"]*\)".*/Authorization: Bearer \2/p' "$scratch/answer" >"$scratch/authorization.new")
  mv "$scratch/authorization.new" "$scratch/authorization"; rm "$scratch/answer"
}

push_blob() { # FOLDER DIGEST
  local place foreign=()
  sign_in pull,push
  ask "$base/blobs/$2" -I -f -o /dev/null 2>/dev/null && return
  must "$base/blobs/uploads/" -d '' -o /dev/null
  place=$(field location)
  [[ $place == /* ]] && place=$scheme://$host$place
  [[ $place == "$scheme://$host/"* ]] || foreign=(-H Authorization:) # a signed address elsewhere: our password is not for it
  [[ $place == *\?* ]] && place+="&digest=$2" || place+="?digest=$2"
  must "$place" -T "$(blob "$1" "$2")" -H 'Content-Type: application/octet-stream' "${foreign[@]}" -o /dev/null
}

push() {
  local folder=$1 manifest it; parse "$2"
  manifest=$(manifest_of "$folder"); [ -n "$manifest" ] || fail "$folder holds no image"
  for it in $(blobs_of "$(blob "$folder" "$manifest")"); do push_blob "$folder" "$it"; done
  sign_in pull,push
  must "$base/manifests/$tag" -T "$(blob "$folder" "$manifest")" -H "Content-Type: $manifest_type" -o /dev/null
  echo "$host/$repository:$tag@$manifest"
}

pull() {
  local folder=$2 manifest it; parse "$1"
  layout "$folder"; sign_in pull
  must "$base/manifests/${pinned:-$tag}" -H "Accept: $manifest_type" -o "$scratch/manifest"
  manifest=$(keep "$folder" "$scratch/manifest")
  [ "${pinned:-$manifest}" = "$manifest" ] || fail "the registry gave $manifest for $pinned"
  for it in $(blobs_of "$(blob "$folder" "$manifest")"); do
    sign_in pull
    must "$base/blobs/$it" -L -o "$scratch/blob"
    [ "$(keep "$folder" "$scratch/blob")" = "$it" ] || fail "the registry gave something else for $it"
  done
  index "$folder" "$manifest"
  echo "$host/$repository@$manifest"
}

case "${1:-} $#" in
  "build 2" | "push 3" | "pull 3") "$@" ;;
  *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
