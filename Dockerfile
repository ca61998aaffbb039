# A checkout on Debian 13 for `npm test` or `npm start`. Both load eBPF, mount and make network
# namespaces, so the container needs root's privileges on the host's kernel (6.6 or later); set-up runs at the first start:
#   docker build -t midplane . && docker run --rm -it --privileged --cgroupns=private midplane npm test
FROM debian:trixie
RUN apt-get update && apt-get install -y --no-install-recommends git npm ca-certificates \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/midplane
COPY . .
RUN rm -rf node_modules native/build
# Podman's storage must not lie on the container's own overlay.
VOLUME /var/lib/midplane
CMD ["npm", "start"]
