#!/usr/bin/env bash
# Installs what the testbed takes from Debian, if any of it is missing.
set -euo pipefail
source "$(dirname "$0")/versions.sh"
missing=()
for package in "${debian_packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit
echo "installing ${missing[*]}"
apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
