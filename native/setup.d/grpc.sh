# gRPC's interoperability client and server, in Go: native/build/grpc/{client,server}, built from the modules that
# grpc/go.sum pins, a minute's work and so for the tests only. Where they can't be had, their test says so.
grpc_source=$root/native/setup.d/grpc

grpc_interop() {
  local module=google.golang.org/grpc/interop
  mkdir -p "$build/grpc" &&
    (cd "$grpc_source" && GOFLAGS=-mod=readonly GOTOOLCHAIN=local CGO_ENABLED=0 \
      go build -ldflags '-s -w' -o "$build/grpc/" "$module/client" "$module/server") ||
    { rm -rf "$build/grpc"; say "gRPC's interop programs could not be built: gRPC is not judged by them" >&3; }
}

case $wanted in
  *test/*)
    [ -x "$build/grpc/client" ] && [ -x "$build/grpc/server" ] || rm -f "$stamps/grpc-interop"
    step "grpc interop" "$(hash_of -- "$grpc_source/go.mod" "$grpc_source/go.sum" "$root/native/setup.d/grpc.sh")" \
      grpc_interop
    ;;
esac
