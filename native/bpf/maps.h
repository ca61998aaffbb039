// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Every table, with its writer: config (the engine), state (one slice's run.ts), learned (the fast path and its
// ageing). The daemon pins each as maps/<name>@v<N>; PINNED gives N.
#pragma once
#include "abi.h"
#include "context.h"

#define TABLE(name_, type_, key_, value_, entries_, flags_)                                                            \
	struct {                                                                                                       \
		__uint(type, type_);                                                                                   \
		__uint(max_entries, entries_);                                                                         \
		__uint(map_flags, flags_);                                                                             \
		__type(key, key_);                                                                                     \
		__type(value, value_);                                                                                 \
	} name_ SEC(".maps")

// config
TABLE(port, BPF_MAP_TYPE_ARRAY, __u32, struct port, MAX_PORTS, 0);
TABLE(port_vlan, BPF_MAP_TYPE_ARRAY, __u32, struct port_vlan, MAX_PORTS, 0);
TABLE(dev, BPF_MAP_TYPE_HASH, __u32, struct dev, MAX_PORTS * 2, 0);  // by ifindex
TABLE(dev_near, BPF_MAP_TYPE_ARRAY, __u32, struct dev, DEV_NEAR, 0); // an index of it: those with a low one
TABLE(flood, BPF_MAP_TYPE_ARRAY, __u32, struct flood, MAX_VLANS, 0);
TABLE(bd, BPF_MAP_TYPE_ARRAY, __u32, struct bd, MAX_VLANS, 0);
TABLE(xdp_port, BPF_MAP_TYPE_DEVMAP, __u32, __u32, MAX_PORTS, 0);
// state
TABLE(port_state, BPF_MAP_TYPE_ARRAY, __u32, struct port_state, MAX_PORTS, 0);       // ports
TABLE(local, BPF_MAP_TYPE_HASH, struct local_key, struct local, 8192, 0);            // vlans
// learned, but for flagged rows of fdb, which are config
TABLE(fdb, BPF_MAP_TYPE_HASH, struct fdb_key, struct fdb, MAX_FDB, 0);
TABLE(fdb_epoch, BPF_MAP_TYPE_ARRAY, __u32, __u32, 1, 0);
TABLE(fdb_count, BPF_MAP_TYPE_ARRAY, __u32, __u32, MAX_PORTS, 0);
TABLE(counters, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct port_counters, MAX_PORTS, 0);
// never pinned
TABLE(up_due, BPF_MAP_TYPE_ARRAY, __u32, __u64, MAX_PORTS, 0); // see l3/neighbor.h
TABLE(fdb_near, BPF_MAP_TYPE_ARRAY, __u32, struct fdb_near, FDB_NEAR, 0);
TABLE(trace, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct trace, MAX_PORTS, 0); // by ingress port
