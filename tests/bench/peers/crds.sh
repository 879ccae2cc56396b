#!/usr/bin/env bash
# Installs the CRDs of peers as their modules publish them, and the namespace flux-system. usage: crds.sh DATA NAME...
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
data=${1:?data folder}; shift
"$here/../../testbed/build.sh" "$data/bin" "$@"
kubectl() { "$data/bin/kubectl" --kubeconfig "$data/pki/admin.kubeconfig" "$@"; }
for name in "$@"; do kubectl apply --server-side -f "$data/bin/$name-crds/"; done
kubectl get namespace flux-system 2>/dev/null || kubectl create namespace flux-system
