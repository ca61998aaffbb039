# ssh-audit, which judges the SSH server in the tests: native/build/ssh-audit/bin/ssh-audit.
ssh_audit_version=3.9.0

# Debian's own Python first: another one earlier on PATH may have no venv.
ssh_audit() {
  local folder=$build/ssh-audit python=python3
  if [ -x /usr/bin/python3 ]; then python=/usr/bin/python3; fi
  rm -rf "$folder" &&
    "$python" -m venv "$folder" &&
    "$folder/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir "ssh-audit==$ssh_audit_version"
}

[ -x "$build/ssh-audit/bin/ssh-audit" ] || rm -f "$stamps/ssh-audit"
step "ssh-audit" "$ssh_audit_version $root" ssh_audit
