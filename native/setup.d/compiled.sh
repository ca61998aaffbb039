# What Node makes of the sources; later changes are compiled as they come.
step "compiled code" "$("$node_folder/node" -v)" "$node_folder/node" "$root/native/compiled.ts"
