# h2spec, which judges HTTP/2 in the tests: native/build/h2spec, built from the modules that h2spec/go.sum pins. Where
# it can't be had, its test says so.
h2spec_source=$root/native/setup.d/h2spec

h2spec() {
  (cd "$h2spec_source" && GOFLAGS=-mod=readonly GOTOOLCHAIN=local CGO_ENABLED=0 \
    go build -o "$build/h2spec" github.com/summerwind/h2spec/cmd/h2spec) ||
    { rm -f "$build/h2spec"; say "h2spec could not be built: HTTP/2 is not judged by it" >&3; }
}

[ -x "$build/h2spec" ] || rm -f "$stamps/h2spec"
step "h2spec" "$(hash_of -- "$h2spec_source/go.mod" "$h2spec_source/go.sum" "$root/native/setup.d/h2spec.sh")" h2spec
