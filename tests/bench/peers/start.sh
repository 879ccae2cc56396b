#!/usr/bin/env bash
# Runs Flux's controllers and External Secrets beside a running testbed, outside its cluster, as parts of it: to compare with, to
# measure, and to have them judge our servers. They run as admin. Their CRDs must be there first (crds.sh).
# usage: start.sh DATA [NAME...]     env: EVENTS (http://127.0.0.1:<port + 45>/ to send events to the notification-controller)
# Ports: metrics and health from the testbed's port + 31 on, source artifacts + 30, events + 45, receivers + 46.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
data=${1:?data folder}; shift
port=$(cat "$data/port")
"$here/../../testbed/build.sh" "$data/bin" "${@:-peers}"
at() { echo "127.0.0.1:$((port + $1))"; }
flux=(--events-addr="${EVENTS-}" --watch-all-namespaces --enable-leader-election=false)
run() { # name arguments...
  "$here/../../testbed/part.sh" "$data" run "$1" env KUBECONFIG="$data/pki/admin.kubeconfig" RUNTIME_NAMESPACE=flux-system \
    SSL_CERT_FILE="$data/pki/ca.crt" HTTPS_PROXY="http://$(at 14)" "$data/bin/$1" "${@:2}"
}
[ $# -gt 0 ] || set -- source-controller kustomize-controller helm-controller external-secrets
mkdir -p "$data"/{artifacts,images}
for name in "$@"; do
  case $name in
    source-controller) run "$name" "${flux[@]}" --storage-path="$data/artifacts" --storage-addr="$(at 30)" --storage-adv-addr="$(at 30)" --metrics-addr="$(at 31)" --health-addr="$(at 32)" ;;
    kustomize-controller) run "$name" "${flux[@]}" --metrics-addr="$(at 33)" --health-addr="$(at 34)" ;;
    helm-controller) run "$name" "${flux[@]}" --metrics-addr="$(at 35)" --health-addr="$(at 36)" ;;
    external-secrets) run "$name" --metrics-addr="$(at 37)" --live-addr="$(at 38)" --concurrent=4 ;;
    notification-controller) run "$name" "${flux[@]}" --events-addr="$(at 45)" --receiverAddr="$(at 46)" --metrics-addr="$(at 39)" --health-addr="$(at 40)" ;;
    image-reflector-controller) run "$name" "${flux[@]}" --storage-path="$data/images" --metrics-addr="$(at 41)" --health-addr="$(at 42)" ;;
    image-automation-controller) run "$name" "${flux[@]}" --metrics-addr="$(at 43)" --health-addr="$(at 44)" ;;
    *) echo "no peer $name" >&2; exit 2 ;;
  esac
done
