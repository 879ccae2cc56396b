#!/usr/bin/env bash
# A testbed that lives as long as its standard input is open: the kernel closes the pipe of a killed test, and nothing is left
# behind. It builds what is missing, prints `ready` and the name of its environment file, and ends with all it started.
# usage: up.sh < pipe     env: DATA (folder, removed at the end; its log folder stays if DATA was given), NODES (default 2),
#   APISERVER_EXTRA (more flags), CA_OF (DATA of another testbed whose CA signs here too)
#
# Its ports are one block of 64 from the name PORT on: API server 0, etcd 1 and 2, controller manager 3, scheduler 4, kwok 5,
# Key Vault 10, Entra 11, vault proxy 12, its control 13, names 14, Entra's control 15, Git https 20, Git ssh 21, registry 22,
#   Vault's transit engine 23 and, over TLS, 26, AWS KMS and Google Cloud KMS 24 and, over TLS, 25.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/parts.sh"
tied=(setpriv --pdeathsig KILL) # should this script itself be killed
given=${DATA:-}
data=${given:-$(mktemp -d "${TMPDIR:-/tmp}/lockstep-testbed-XXXXXX")}
rm -rf "$data"; mkdir -p "$data"/{bin,log,parts,pids,pki}
data=$(cd "$data" && pwd)

down() {
  for file in "$data"/pids/*; do kill_part "${file##*/}"; done
  if [ -n "$given" ]; then find "$data" -mindepth 1 -maxdepth 1 ! -name log -exec rm -rf {} +; else rm -rf "$data"; fi
}
trap down EXIT
trap : INT PIPE # Ctrl-C reaches the tests; they go away, and the pipe with them
trap 'exit 1' TERM HUP

# A block of ports below the ephemeral ones where nobody listens. The lock passes to all parts, so a block is free only when
# the last of them is gone.
claim_ports() {
  local locks=${TMPDIR:-/tmp}/lockstep-testbed-ports lock
  mkdir -p "$locks"
  for port in $(shuf -i 0-180 | awk '{print 20000 + 64 * $1}'); do
    exec {lock}>"$locks/$port"
    flock -n "$lock" && ! busy "$port" && return
    exec {lock}>&-
  done
  echo "testbed: no free block of ports" >&2; return 1
}
busy() { # first port: whether anyone uses a port of the block
  awk -v low="$(printf 'x%04X' "$1")" -v high="$(printf 'x%04X' $(($1 + 63)))" \
    'FNR > 1 { split($2, at, ":"); p = "x" at[2]; if (p >= low && p <= high) found = 1 } END { exit !found }' /proc/net/tcp /proc/net/tcp6
}

"$here/install.sh" >&2
"$here/build.sh" "$data/bin" testbed tools
claim_ports
echo "$port" > "$data/port"
source "$here/control-plane/certificates.sh"
for room in control-plane azure git registry transit kms; do source "$here/$room/start.sh"; done
for part in "$data"/parts/*; do ready "${part##*/}"; done
# ports as URLs, and what clients need to use real names: exactly what `set -a; source` and the Rust tests read
cat > "$data/env" <<V
LOCKSTEP_TESTBED=$data
KUBECONFIG=$data/pki/admin.kubeconfig
HTTPS_PROXY=http://127.0.0.1:$((port + 14))
NO_PROXY=127.0.0.1,localhost
SSL_CERT_FILE=$data/pki/ca.crt
NODE_EXTRA_CA_CERTS=$data/pki/ca.crt
GIT_SSL_CAINFO=$data/pki/ca.crt
CURL_CA_BUNDLE=$data/pki/ca.crt
AWS_CA_BUNDLE=$data/pki/ca.crt
TESTBED_BIN=$data/bin
TESTBED_API=https://127.0.0.1:$port
TESTBED_VAULT=http://127.0.0.1:$((port + 10))
TESTBED_VAULT_CONTROL=http://127.0.0.1:$((port + 13))
TESTBED_ENTRA=https://127.0.0.1:$((port + 11))
TESTBED_ENTRA_CONTROL=http://127.0.0.1:$((port + 15))
TESTBED_GIT=https://127.0.0.1:$((port + 20))
TESTBED_SSH=ssh://$(id -un)@127.0.0.1:$((port + 21))
TESTBED_REGISTRY=127.0.0.1:$((port + 22))
TESTBED_TRANSIT=http://127.0.0.1:$((port + 23))
TESTBED_TRANSIT_TLS=https://127.0.0.1:$((port + 26))
TESTBED_KMS=http://127.0.0.1:$((port + 24))
V
echo "ready $data/env"
cat >/dev/null
