# The switch as a container. No registry is needed: the base is made by this repository, set-up has built the rest.
#
#   bash native/setup.sh
#   bash configs/image/base.sh base.tar && podman import base.tar localhost/midplane/base:13
#   podman build -t localhost/midplane:0.1.0 .
#
# It works in the network namespace that it is given. Of the host's kernel (6.6 or later) it needs what is named here; it
# may not do more to the host than these allow, which SYS_ADMIN makes much:
#
#   podman run --network ns:/run/netns/SWITCH --cap-add NET_ADMIN,NET_RAW,SYS_ADMIN \
#     --security-opt unmask=/proc/sys --device /dev/net/tun --cgroupns host -v /sys/fs/cgroup:/sys/fs/cgroup \
#     -v STATE:/var/lib/midplane -v ETC:/etc/midplane --stop-timeout 30 localhost/midplane:0.1.0
#
# Guests live as long as the container: a stop takes them away, and STATE brings them back.
FROM localhost/midplane/base:13
WORKDIR /opt/midplane
COPY package.json LICENSE NOTICE ./
COPY node_modules ./node_modules
COPY native/build ./native/build
COPY configs ./configs
COPY src ./src
COPY configs/default.yaml /etc/midplane/midplane.yaml
ENV PATH=/opt/midplane/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# Podman's storage must not lie on the container's own overlay.
VOLUME /var/lib/midplane
STOPSIGNAL SIGTERM
ENTRYPOINT ["catatonit", "--", "/opt/midplane/configs/image/entry.sh"]
