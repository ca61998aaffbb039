# Envoy, which the mesh's tests and the lab run against.
step "Envoy" "$(hash_of -- "$root/native/envoy.sh")" bash "$root/native/envoy.sh"
