# Sourced by what starts and stops a testbed. A part is one process; DATA/parts/NAME holds its command, DATA/pids/NAME its
# process id, DATA/log/NAME.log what it says. Every part leads a process group, so that it ends with its children.

# part NAME COMMAND...: keeps the command, so that the part can be started again, and starts it.
part() {
  local name=$1; shift
  { printf 'exec'; printf ' %q' "$@"; echo; } > "$data/parts/$name"
  launch "$name"
}

tied=() # what ties a part's life to the process that launches it
launch() { # name
  setsid "${tied[@]}" bash "$data/parts/$1" >>"$data/log/$1.log" 2>&1 </dev/null &
  echo $! > "$data/pids/$1"
  disown $!
}

alive() { # name: a zombie, which nobody has waited for yet, is dead, once its last thread has let go of its ports
  local pid; pid=$(cat "$data/pids/$1") && kill -0 "$pid" 2>/dev/null && ! { grep -q '^State:.Z' "/proc/$pid/status" && [ "$(ls "/proc/$pid/task" | wc -l)" -le 1 ]; } 2>/dev/null
}

# await SECONDS NAME COMMAND...: runs the command again and again until it succeeds; fails when the part dies or time is up.
await() {
  local tries=$(($1 * 50)) name=$2; shift 2
  until "$@" 2>/dev/null; do
    alive "$name" && [ $((tries -= 1)) -gt 0 ] || { { echo "testbed: $name is not ready. It said:"; tail -n 20 "$data/log/$name.log"; } >&2; return 1; }
    sleep 0.02
  done
}

listens() { : <>"/dev/tcp/127.0.0.1/$1"; }
api_says() { # pattern path
  curl -sf --noproxy '*' --cacert "$data/pki/ca.crt" -H 'Authorization: Bearer admin-token' "https://127.0.0.1:$port$2" | grep -q "$1"
}

# ready NAME: waits until the part answers.
ready() {
  case $1 in
    etcd) await 30 etcd listens $((port + 1)) ;;
    kube-apiserver) await 60 kube-apiserver api_says '^ok$' /readyz ;;
    kube-controller-manager) await 60 "$1" api_says '"uid"' /api/v1/namespaces/default/serviceaccounts/default ;;
    kube-scheduler) await 30 "$1" listens $((port + 4)) ;;
    kwok) await 60 kwok api_says '"reason": *"KubeletReady"' /api/v1/nodes/node-1 ;;
    keyvault) await 10 "$1" listens $((port + 10)) ;;
    entra) await 30 "$1" listens $((port + 11)) ;;
    vault-proxy) await 30 "$1" listens $((port + 12)) ;;
    names) await 30 "$1" listens $((port + 14)) ;;
    git) await 10 "$1" listens $((port + 20)) ;;
    ssh) await 10 "$1" listens $((port + 21)) ;;
    registry) await 10 "$1" listens $((port + 22)) ;;
    transit) await 10 "$1" listens $((port + 23)) ;;
    kms) await 10 "$1" listens $((port + 24)) ;;
  esac
}

# kill_part NAME: ends it and its children at once, and waits until it is gone.
kill_part() {
  local pid; pid=$(cat "$data/pids/$1" 2>/dev/null) || return 0
  kill -9 -- "-$pid" 2>/dev/null
  while alive "$1"; do sleep 0.01; done
  rm -f "$data/pids/$1"
}
