#!/usr/bin/env bash
# Makes a Debian machine able to run midplane, then runs COMMAND with the pinned Node first on PATH:
#
#   bash native/setup.sh [COMMAND [ARGUMENT...]]
#
# Steps, in order: probe the machine, system packages, npm packages, native builds, mounts, the midplane command, then
# native/setup.d/*.sh. Each does only what is missing and says so in one line with its seconds; a second run says
# nothing. A step that depends on files is done again when their content changes: native/build/stamps/ holds the hashes.
# What takes long and only the tests need is made when they are what is run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/native/build
stamps=$build/stamps
wanted=$*
PATH=$PATH:/usr/sbin:/sbin
exec 3>&1

case $(uname -m) in
  x86_64) arch=x64 qemu=qemu-system-x86 ;;
  aarch64) arch=arm64 qemu=qemu-system-arm ;;
  *) echo "setup: $(uname -m) is not supported: x86_64 and aarch64 are" >&2; exit 1 ;;
esac
node_version=26
node_folder=$root/node_modules/node-linux-$arch/bin

# What is installed, and why. "a|b" is the first of both that the release has.
packages_build=(gcc libc6-dev make 'clang-19|clang' libbpf-dev)          # the addon and the eBPF objects
packages_switch=(iproute2 ethtool bpftool procps)                      # namespaces, offloads, an operator's tools
packages_containers=(podman runc conmon catatonit)                       # guests: containers
packages_vms=("$qemu" qemu-utils)                                        # guests: virtual machines
packages_tests=(iputils-ping tcpdump traceroute iperf3 curl openssh-client strace busybox-static python3 python3-venv
  nginx haproxy slowhttptest golang-go nghttp2-client)

say() { echo "setup: $*"; }
die() { echo "setup: $*" >&2; exit 1; }
is_root() { [ "$(id -u)" = 0 ]; }

# timed NAME FUNCTION [ARGUMENT...]: runs the function, its output kept back unless it fails, and says how long it took.
# What a function writes to descriptor 3 is shown. `set -e` does not work inside: functions join their commands by &&.
timed() {
  local name=$1 start=$EPOCHREALTIME log; shift
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 40 "$log" >&2
    rm -f "$log"
    die "$name: failed"
  fi
  rm -f "$log"
  local us=$(( ${EPOCHREALTIME/./} - ${start/./} ))
  say "$name: $(( us / 1000000 )).$(( us / 100000 % 10 )) s"
}

# step NAME HASH FUNCTION [ARGUMENT...]: timed, once for each hash.
step() {
  local name=$1 hash=$2 stamp=$stamps/${1//[^a-z0-9]/-}; shift 2
  [ "$(cat "$stamp" 2>/dev/null)" = "$hash" ] && return
  timed "$name" "$@"
  echo "$hash" >"$stamp"
}

# One hash of texts and of files' contents, wherever they lie: hash_of TEXT... -- FILE...
hash_of() {
  local texts=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do texts+=("$1"); shift; done
  shift || true
  { printf '%s\n' "${texts[@]}"; [ $# -eq 0 ] || sha256sum -- "$@" | cut -d' ' -f1; } | sha256sum | cut -c1-32
}

# 1. What the kernel and the machine lack, and what that costs. Dies only where forwarding can't work.
probe() {
  local major minor costs=()
  IFS=. read -r major minor _ <<<"$(uname -r)"
  minor=${minor%%[!0-9]*}
  (( major > 6 || (major == 6 && minor >= 6) )) || die "Linux 6.6 or later is needed (tcx), this is $(uname -r)"
  [ -r /sys/kernel/btf/vmlinux ] || die "no /sys/kernel/btf/vmlinux (CONFIG_DEBUG_INFO_BTF): eBPF can't load"
  is_root || costs+=("not root: nothing can be installed, mounted or forwarded; checks and unit tests run")
  [ -c /dev/net/tun ] || costs+=("no /dev/net/tun: VMs get no port")
  [ -c /dev/kvm ] || costs+=("no /dev/kvm: VMs are emulated, slowly")
  grep -qw overlay /proc/filesystems || costs+=("no overlay filesystem: containers copy their image at every start")
  case $(cgroups) in
    none) costs+=("no cgroups: guests have no limits") ;;
    v1 | hybrid) [ -d /sys/fs/cgroup/memory ] || costs+=("no memory cgroup: guests have no memory limit") ;;
  esac
  local text; text=$(printf '%s\n' "${costs[@]}")
  [ "$(cat "$stamps/probe" 2>/dev/null)" = "$text" ] && return
  local cost
  for cost in "${costs[@]}"; do say "$cost"; done
  echo "$text" >"$stamps/probe"
}

cgroups() {
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then echo v2
  elif [ -d /sys/fs/cgroup/unified ]; then echo hybrid
  elif [ -n "$(ls -A /sys/fs/cgroup 2>/dev/null)" ]; then echo v1
  else echo none; fi
}

# The same asked of the kernel itself, now that there is something to load.
probe_core() {
  unshare --net bash -c 'ip link add probe0 type veth peer name probe1 && exec "$0" "$1" probe0' \
    "$node_folder/node" "$root/src/kernel/probe.ts" >&3
}

# 2. Packages that are missing.
packages() {
  local wanted=("${packages_build[@]}" "${packages_switch[@]}" "${packages_containers[@]}" "${packages_vms[@]}")
  wanted+=("${packages_tests[@]}")
  local installed entry missing=()
  command -v dpkg-query >/dev/null || die "no dpkg: set-up knows Debian and its like; install yourself: ${wanted[*]}"
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p')
  for entry in "${wanted[@]}"; do
    grep -qxF -f <(tr '|' '\n' <<<"$entry") <<<"$installed" || missing+=("$entry")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  is_root || die "these packages are missing, and only root can install them: ${missing[*]}"
  timed "packages ${missing[*]}" install_packages "${missing[@]}"
}

install_packages() {
  local names=() entry name
  apt-get update -q || return
  for entry in "$@"; do
    for name in ${entry//|/ }; do
      apt-cache show "$name" >/dev/null 2>&1 && break
    done
    names+=("$name")
  done
  # Asked by invoke-rc.d whether a package may start its service: no server of anyone's begins to listen here.
  local policy=/usr/sbin/policy-rc.d mark='# midplane: set-up installs packages' code=0
  [ -e "$policy" ] || { printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy" && chmod 755 "$policy"; }
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 \
    "${names[@]}" || code=$?
  ! grep -qxF "$mark" "$policy" || rm -f "$policy"
  return $code
}

# 3. npm packages, Node among them. npm skips an optional package that it can't fetch and calls that success.
npm_packages() {
  local stamp=$root/node_modules/.midplane hash
  hash=$(hash_of "$arch" -- "$root/package-lock.json")
  # A link is somebody's shared folder; npm would empty it.
  if [ ! -L "$root/node_modules" ] && [ "$(cat "$stamp" 2>/dev/null)" != "$hash" ]; then
    command -v npm >/dev/null || die "npm is needed once, to fetch the pinned Node: apt-get install npm"
    timed "npm packages" npm_ci
    echo "$hash" >"$stamp"
  fi
  local version; version=$("$node_folder/node" -v 2>&1) || true
  if [[ $version != v$node_version.* ]]; then
    rm -f "$stamp"
    say "npm could not fetch node-linux-$arch; run this again when the registry can be reached" >&2
    die "Node $node_version did not arrive in $node_folder: ${version:-nothing is there}"
  fi
  export PATH=$node_folder:$PATH
}

# No package needs its install script: ssh2's would only compile an optional cipher.
npm_ci() {
  cd "$root" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error || return
  local node=$root/node_modules/node-linux-$arch/bin/node
  [ ! -x "$node" ] || "$node" native/bindings.ts
}

# 4. The addon and the eBPF objects.
builds() {
  local sources hash
  mapfile -t sources < <(
    find "$root/native" -path "$build" -prune -o \( -name '*.[ch]' -o -name Makefile \) -print | LC_ALL=C sort
  )
  hash=$(hash_of "$arch" "$(. /etc/os-release && echo "$ID $VERSION_ID")" "$(sed -n 's/.*"version": *//p' \
    "$node_folder/../package.json")" -- "${sources[@]}")
  [ -e "$build/addon.node" ] || rm -f "$stamps/native-build"
  step "native build" "$hash" make -B -j2 -C "$root/native" all
  is_root && step "kernel takes the forwarding core" "$hash $(uname -r)" probe_core
  return 0
}

# 6. What boot leaves to others: bpffs, and /run/netns shared as `ip netns` makes it.
mounts() {
  is_root || return 0
  mountpoint -q /sys/fs/bpf || timed "mount /sys/fs/bpf" mount -t bpf bpf /sys/fs/bpf
  mountpoint -q /run/netns || timed "mount /run/netns" mount_netns
}

mount_netns() {
  mkdir -p /run/netns && mount --bind /run/netns /run/netns && mount --make-rshared /run/netns
}

# 7. The midplane command: this checkout's, unless there is one that we did not write.
midplane_command() {
  local file=/usr/local/bin/midplane mark='# midplane: written by native/setup.sh' text
  [ -d /usr/local/bin ] && [ -w /usr/local/bin ] || return 0
  if [ -e "$file" ] && ! grep -qxF "$mark" "$file"; then return 0; fi
  text=$(printf '#!/bin/sh\n%s\nexec %q %q "$@"' "$mark" "$node_folder/node" "$root/src/main.ts")
  [ "$(cat "$file" 2>/dev/null)" = "$text" ] && return 0
  echo "$text" >"$file.new.$$"
  chmod 755 "$file.new.$$"
  mv "$file.new.$$" "$file"
  say "command $file: runs this checkout"
}

# 5. and later: each file of setup.d is read here, uses `step` and the names above, and says at its top what it is for.
more_steps() {
  local file
  for file in "$root"/native/setup.d/*.sh; do
    # shellcheck source=/dev/null
    [ -e "$file" ] && . "$file"
  done
  return 0
}

mkdir -p "$stamps"
# Two of us at once on one checkout: the second waits, and finds all done.
exec 9>"$build/lock"
flock 9
probe
packages
npm_packages
builds
mounts
midplane_command
more_steps
exec 9>&- 3>&-

[ $# -gt 0 ] || exit 0
cd "$root"
exec "$@"
