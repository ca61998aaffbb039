# grpcurl, which asks servers of gRPC what they have: native/build/grpcurl, built from the modules that grpcurl/go.sum
# pins, the last version without xDS, which would be most of the work. For the tests only. Where it can't be had, its
# test says so.
grpcurl_source=$root/native/setup.d/grpcurl

grpcurl() {
  (cd "$grpcurl_source" && GOFLAGS=-mod=readonly GOTOOLCHAIN=local CGO_ENABLED=0 \
    go build -ldflags '-s -w' -o "$build/grpcurl" github.com/fullstorydev/grpcurl/cmd/grpcurl) ||
    { rm -f "$build/grpcurl"; say "grpcurl could not be built: gRPC is not judged by it" >&3; }
}

case $wanted in
  *test/*)
    [ -x "$build/grpcurl" ] || rm -f "$stamps/grpcurl"
    step "grpcurl" "$(hash_of -- "$grpcurl_source/go.mod" "$grpcurl_source/go.sum" "$root/native/setup.d/grpcurl.sh")" \
      grpcurl
    ;;
esac
