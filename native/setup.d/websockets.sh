# websockets, a server of WebSockets that nobody here wrote: native/build/websockets/bin/python runs it, for the tests
# only. (Autobahn's test suite asks for Python 2, which Debian no longer has.)
websockets_version=15.0.1

websockets() {
  local folder=$build/websockets python=python3
  if [ -x /usr/bin/python3 ]; then python=/usr/bin/python3; fi
  rm -rf "$folder" &&
    "$python" -m venv "$folder" &&
    "$folder/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir "websockets==$websockets_version" ||
    { rm -rf "$folder"; say "websockets could not be installed: WebSockets are not judged by it" >&3; }
}

case $wanted in
  *test/*)
    [ -x "$build/websockets/bin/python" ] || rm -f "$stamps/websockets"
    step "websockets" "$websockets_version $root" websockets
    ;;
esac
