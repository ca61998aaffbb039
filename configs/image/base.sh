#!/usr/bin/env bash
# Makes the root file system that the Dockerfile stands on, as a tar: Debian 13 with what set-up installs for a switch
# and its guests, and nothing to build with.
#
#   bash configs/image/base.sh base.tar && podman import base.tar localhost/midplane/base:13
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
file=${1:?usage: base.sh FILE.tar}

case $(uname -m) in
  x86_64) qemu=qemu-system-x86 ;;
  aarch64) qemu=qemu-system-arm ;;
  *) echo "base: $(uname -m) is not supported: x86_64 and aarch64 are" >&2; exit 1 ;;
esac
# set-up's lists, so that there is one of them
eval "$(grep -E '^packages_(switch|containers|vms)=' "$root/native/setup.sh")"
packages=("${packages_switch[@]}" "${packages_containers[@]}" "${packages_vms[@]}")
# what the addon is linked with, what the CLI and an operator call, what images for guests are made of
packages+=(libbpf1 iputils-ping traceroute tcpdump curl ca-certificates busybox-static)

mmdebstrap --mode=root --variant=minbase --aptopt='APT::Install-Recommends "false"' \
  --include="$(IFS=,; echo "${packages[*]}")" trixie "$file"
