#!/usr/bin/env bash
# Ends one part of a running testbed at once (kill -9), or starts it again and waits until it answers; or adds a part.
# usage: part.sh DATA kill|start NAME     NAME: a file of DATA/parts
#        part.sh DATA run NAME COMMAND...
set -euo pipefail
source "$(dirname "$0")/parts.sh"
data=${1:?data folder}; port=$(cat "$data/port")
[ "$2" = run ] || [ -e "$data/parts/${3:?part}" ] || { echo "no part $3 in $data" >&2; exit 2; }
case $2 in
  kill) kill_part "$3" ;;
  run) part "${@:3}" ;;
  start) launch "$3"; ready "$3" ;;
esac
