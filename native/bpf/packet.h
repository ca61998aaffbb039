// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// What the stages tell each other about the frame at hand: offsets and decisions, never pointers.
#pragma once
#include "maps.h"

enum verdict { V_DROP = 0, V_PORT = 1, V_FLOOD = 2, V_UP = 3, V_PASS = 4 };

struct pkt {
	__u16 in_port;
	__u16 out_port;
	__u16 bd;     // the bridge domain that it came in by, 0 at a routed port
	__u16 out_bd; // where a bridged or routed frame goes, 0: out of a routed port
	__u16 vid;    // of the tag that it carries, in band or beside the frame
	__u16 priority; // PCP and DEI of the tag that it came with, where a tag has them
	__u16 ethertype;
	__u16 l3;
	__u16 verdict;
	__u16 reason;
	__u8 tagged;
	__u8 in_band;
	__u8 routed;
	__u8 own;
	__u32 segments;
	__u32 len;
	__u8 dmac[6];
	__u8 smac[6];
	__u8 next_dmac[6];
	__u8 next_smac[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pkt);
} pkt_slot SEC(".maps");

INLINE struct pkt *pkt_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&pkt_slot, &zero);
}

INLINE struct port_counters *counters_of(__u32 id) { return bpf_map_lookup_elem(&counters, &id); }
INLINE struct port *port_of(__u32 id) { return bpf_map_lookup_elem(&port, &id); }

INLINE int is_group(const __u8 *mac) { return mac[0] & 1; }
INLINE int is_zero(const __u8 *mac) { return !(mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]); }
INLINE int same_mac(const __u8 *a, const __u8 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4] && a[5] == b[5];
}
