// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// What the stages tell each other about the frame at hand: offsets and decisions, never pointers. It lives on the
// entry program's stack. A call or return costs more than a dozen loads (8 ns where returns are guarded against
// speculation), so what every frame needs is inline, and a hash is asked only where an array cannot answer.
#pragma once
#include "maps.h"

enum verdict { V_DROP = 0, V_PORT = 1, V_FLOOD = 2, V_UP = 3, V_PASS = 4 };

struct pkt {
	__u64 dmac; // see mac_at
	__u64 smac;
	__u64 next_dmac; // of a routed frame
	__u64 next_smac;
	__u32 segments;
	__u32 len;
	__u32 epoch; // of fdb, from before the first look at it
	__u16 in_port;
	__u16 out_port;
	__u16 bd;     // the bridge domain that it came in by, 0 at a routed port
	__u16 out_bd; // where a bridged or routed frame goes, 0: out of a routed port
	__u16 vid;    // of the tag that it carries, in band or beside the frame
	__u16 priority; // PCP and DEI of the tag that it came with, where a tag has them
	__u16 ethertype;
	__u16 l3;
	__u16 reason;
	__u8 tagged;
	__u8 in_band;
	__u8 routed;
	__u8 own;
	__u8 pad[6];
};

INLINE struct port_counters *counters_of(__u32 id) { return bpf_map_lookup_elem(&counters, &id); }
INLINE struct port *port_of(__u32 id) { return bpf_map_lookup_elem(&port, &id); }

// What a device is to us, if anything.
INLINE struct dev *dev_of(__u32 ifindex)
{
	struct dev *near = bpf_map_lookup_elem(&dev_near, &ifindex);

	return near && near->kind ? near : bpf_map_lookup_elem(&dev, &ifindex);
}

// A MAC address as one number: its bytes in the order of memory, the first is the lowest.
#define MAC(a, b, c, d, e, f)                                                                                          \
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 | (__u64)(f) << 40)

// By halves: addresses on the stack may stand at any even place.
INLINE __u64 mac_at(const void *at)
{
	const __u16 *half = at;

	return half[0] | (__u64)half[1] << 16 | (__u64)half[2] << 32;
}
INLINE void mac_put(void *at, __u64 mac)
{
	*(__u32 *)at = mac;
	*(__u16 *)(at + 4) = mac >> 32;
}
INLINE int is_group(__u64 mac) { return mac & 1; }
