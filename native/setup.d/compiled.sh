# What Node makes of the sources; later changes are compiled as they come.
step "compiled code" "$(hash_of "$("$node_folder/node" -v)" -- "$root/native/compiled.ts")" "$node_folder/node" "$root/native/compiled.ts"
