# Images for guests, which every instance on the machine uses and none changes, in /var/lib/midplane/images:
#
#   a store of podman's with localhost/midplane/web:1 (a web server that says who answers and what was asked) and
#   localhost/midplane/busybox:1 (a shell and its tools), to be named as additional image store;
#   vm/vmlinuz and vm/initrd: Debian's cloud kernel with a root file system of the same two, set up by a NoCloud seed.
#
# native/setup.sh reads this file; its names (step, timed, hash_of, ...) are used here.

images=/var/lib/midplane/images
image_sources=$root/native/setup.d/images

# The tag of an image is what a document names; a layer of the same content has the same digest.
container_images() {
  local work; work=$(mktemp -d) || return
  build_container_images "$work"
  local result=$?
  rm -rf "$work"
  return $result
}

build_container_images() {
  local work=$1
  # Podman's database of containers, of which there are none, remembers the run root of another time.
  rm -rf "$images/libpod"
  web_server "$work/web" &&
    busybox_root "$work/busybox" &&
    cp -a "$work/busybox" "$work/webroot" && install -m 755 "$work/web" "$work/webroot/bin/web" &&
    import_image "$work" busybox localhost/midplane/busybox:1 'CMD ["sh"]' &&
    import_image "$work" webroot localhost/midplane/web:1 'ENTRYPOINT ["/bin/web"]' 'EXPOSE 80' 'ENV VERSION=1'
}

# import_image WORK ROOT NAME CHANGE...
import_image() {
  local work=$1 tree=$2 name=$3 change changes=(); shift 3
  for change in 'ENV PATH=/bin' "$@"; do changes+=(--change "$change"); done
  tar -C "$work/$tree" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf "$work/$tree.tar" . &&
    podman --root "$images" --runroot "$work/run" --storage-driver overlay \
      import "${changes[@]}" "$work/$tree.tar" "$name"
}

# A static program: it runs in an image that has no C library.
web_server() { cc -std=gnu11 -O2 -static -Wall -Wextra -Werror -o "$1" "$image_sources/web.c" && strip "$1"; }

# busybox_root FOLDER: a root file system of busybox and its links.
busybox_root() {
  local folder=$1 applet
  mkdir -p "$folder"/{bin,dev,etc,proc,root,run,sys,tmp,var/log} && chmod 1777 "$folder/tmp" &&
    cp "$(command -v busybox)" "$folder/bin/busybox" || return
  for applet in $(busybox --list); do
    [ "$applet" = busybox ] || ln -sf busybox "$folder/bin/$applet" || return
  done
  ln -s bin "$folder/sbin" && ln -s . "$folder/usr" &&
    echo 'root:x:0:0:root:/root:/bin/sh' >"$folder/etc/passwd" && echo 'root:x:0:' >"$folder/etc/group"
}

# What the kernel of the VM image needs for its console, port, disks, seed and power button; their needs come along.
vm_modules=(virtio_pci virtio_net virtio_blk isofs button evdev)

vm_image() {
  local work package; package=$(kernel_package)
  [ -n "$package" ] || { apt-get update -q && package=$(kernel_package); } || return
  if [ -z "$package" ]; then
    echo "no kernel package linux-image-cloud-$(dpkg --print-architecture) is known" >&2
    return 1
  fi
  work=$(mktemp -d) || return
  chmod 755 "$work"
  build_vm_image "$work" "$package"
  local result=$?
  rm -rf "$work"
  return $result
}

build_vm_image() {
  local work=$1 package=$2
  (cd "$work" && apt-get download -q "$package" && dpkg-deb -x "$package"_*.deb kernel) &&
    web_server "$work/web" && busybox_root "$work/root" &&
    install -m 755 "$work/web" "$work/root/bin/web" &&
    install -m 755 "$image_sources/init.sh" "$work/root/init" &&
    mkdir -p "$work/root/etc/acpi/PWRF" && printf '#!/bin/sh\npoweroff -f\n' >"$work/root/etc/acpi/PWRF/00000080" &&
    chmod 755 "$work/root/etc/acpi/PWRF/00000080" &&
    copy_modules "$work/kernel" "$work/root/lib/modules" &&
    (cd "$work/root" && find . | LC_ALL=C sort | busybox cpio -o -H newc | gzip -9n) >"$work/initrd" &&
    mkdir -p "$images/vm" && place "$work"/kernel/boot/vmlinuz-* "$images/vm/vmlinuz" &&
    place "$work/initrd" "$images/vm/initrd"
}

# copy_modules BASE TO: the modules and what they stand on, and the order to load them in in TO/order.
copy_modules() {
  local base=$1 to=$2 release module need
  release=$(ls "$base/lib/modules") && mkdir -p "$to" && busybox depmod -b "$base" "$release" || return
  local from=$base/lib/modules/$release
  for module in "${vm_modules[@]}"; do
    # A line of modules.dep: the module, then what it needs, the deepest last.
    for need in $(sed -n "s|^\([^:]*/$module\.ko\):|\1|p" "$from/modules.dep" | tr ' ' '\n' | tac); do
      grep -qxF "${need##*/}" "$to/order" 2>/dev/null && continue
      cp "$from/$need" "$to/" && echo "${need##*/}" >>"$to/order" || return
    done
  done
}

# Guests that run keep the file that they have open.
place() { cp "$1" "$2.new.$$" && chmod 644 "$2.new.$$" && mv "$2.new.$$" "$2"; }

# What a release's kernel package for VMs is called today: linux-image-cloud-amd64 stands for the newest.
kernel_package() {
  apt-cache depends "linux-image-cloud-$(dpkg --print-architecture)" 2>/dev/null |
    sed -n 's/^ *Depends: *\(linux-image-[^ ]*\).*/\1/p' | head -n 1
}

# have_images NAME HASH FILE...: done again where another checkout made others, or somebody removed them.
have_images() {
  local name=$1 hash=$2 file; shift 2
  for file in "$@"; do [ -e "$file" ] || hash=; done
  [ -n "$hash" ] && [ "$(cat "$images/$name.made" 2>/dev/null)" = "$hash" ] || rm -f "$stamps/${name//[^a-z0-9]/-}"
}

# make_images NAME HASH FUNCTION [ARGUMENT...]
make_images() {
  step "$@" && echo "$2" >"$images/$1.made"
}

guest_images() {
  local hash
  mkdir -p "$images"
  # Two checkouts share the images.
  exec 8>"$images/lock"
  flock 8
  hash=$(hash_of "$arch" "$(dpkg-query -W busybox-static)" -- "$image_sources/web.c" "$root/native/setup.d/images.sh")
  have_images "container images" "$hash" "$images/overlay-images/images.json"
  make_images "container images" "$hash" container_images
  hash=$(hash_of "$hash" -- "$image_sources/init.sh")
  have_images "vm image" "$hash" "$images/vm/vmlinuz" "$images/vm/initrd"
  make_images "vm image" "$hash" vm_image
  exec 8>&-
}

if is_root; then guest_images; fi
