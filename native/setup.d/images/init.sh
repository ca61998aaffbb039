#!/bin/sh
# PID 1 of the VM image that set-up makes: drivers, what the NoCloud seed says (host name, addresses, routes), a web
# server that answers the host name, a shell on the console, and the power button.
export PATH=/bin HOME=/ TERM=linux

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /seed /run /tmp /var/log
mount -t devpts pts /dev/pts
echo 1 >/proc/sys/kernel/printk
while read -r module; do insmod "/lib/modules/$module" || echo "init: $module did not load"; done </lib/modules/order

# The seed is the volume that cloud-init would look for; a bare machine's own disk may stand before it.
seed=
for device in /dev/vd? /dev/sr?; do
  [ -b "$device" ] || continue
  mount -t iso9660 -o ro "$device" /seed 2>/dev/null || continue
  [ -f /seed/meta-data ] && seed=$device && break
  umount /seed
done

ip link set lo up
# Addresses are given, nobody else has them: no seconds of asking around.
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
ip link set eth0 up

if [ -n "$seed" ]; then
  hostname "$(sed -n 's/^local-hostname: *//p' /seed/meta-data | tr -d '"')"
  # network-config version 2, one value a line, as midplane writes it.
  tr -d '"' </seed/network-config | awk '
    $1 == "mtu:" { print "mtu", $2 }
    $1 == "addresses:" && !servers { list = "address" }
    $1 == "routes:" { list = "route" }
    $1 == "nameservers:" { servers = 1; list = "" }
    $1 == "addresses:" && servers { list = "server" }
    $1 == "-" && list == "address" { print "address", $2 }
    $1 == "-" && list == "server" { print "server", $2 }
    $1 == "-" && $2 == "to:" { to = $3 }
    $1 == "via:" { print "route", to, $2 }
  ' | while read -r word what via; do
    case $word in
      mtu) ip link set eth0 mtu "$what" ;;
      address) ip address add "$what" dev eth0 ;;
      route) ip route add "$what" via "$via" dev eth0 ;;
      server) echo "nameserver $what" >>/etc/resolv.conf ;;
    esac
  done
  umount /seed
fi
echo "127.0.0.1 localhost $(hostname)" >/etc/hosts

acpid -f -l /dev/null &
web &
echo "init: $(hostname) is up"
# A shell that ends begins anew; the console is a socket that people come to and go from.
console=/dev/$(awk '{ print $NF }' /sys/class/tty/console/active)
while :; do setsid -c sh <"$console" >"$console" 2>&1; done
