#!/bin/sh
# First process of the container, below its init: makes the mounts that a machine's set-up makes, runs the daemon, and
# takes the switch away when the container is stopped. Arguments are given to `midplane run`.
set -eu
instance=${MIDPLANE_INSTANCE:-main}
main=/opt/midplane/src/main.ts

mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
mkdir -p /run/netns /etc/midplane/manifests
mountpoint -q /run/netns || mount --bind /run/netns /run/netns
mount --make-rshared /run/netns

# cgroups v2 lets no group have both processes and limited children, but for the host's root.
cgroup=/sys/fs/cgroup
if [ -f $cgroup/cgroup.controllers ] && [ -f $cgroup/cgroup.type ]; then
  mkdir -p $cgroup/init
  while read -r pid; do echo "$pid" >$cgroup/init/cgroup.procs; done <$cgroup/cgroup.procs
fi

node "$main" run --instance "$instance" --config /etc/midplane/midplane.yaml --manifests /etc/midplane/manifests "$@" &
daemon=$!
trap 'kill -TERM $daemon' TERM INT
# A signal ends the first wait, not the daemon.
wait $daemon || true
code=0
wait $daemon || code=$?
node "$main" down --instance "$instance"
exit $code
