# What Node makes of the sources; later changes are compiled as they come.
compiled_hash=$(hash_of "$("$node_folder/node" -v)" -- "$root/native/compiled.ts")
step "compiled code" "$compiled_hash" "$node_folder/node" "$root/native/compiled.ts"
