// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Everything that the fast path and the daemon share: fixed widths, named padding, _be for network order, no bitfields.
// src/kernel/abi.ts is made from this by native/abi.ts. A changed struct raises the N of its maps in maps.h.
#pragma once
#include <linux/types.h>

#define MAX_PORTS 1024
#define MAX_VLANS 4096
#define MAX_FDB 65536
#define DEV_NEAR 16384
#define FDB_NEAR 32768
#define PORT_WORDS (MAX_PORTS / 64)
#define DROP_REASONS 32

// Ids start at 1: row 0 counts for devices that no port claims.
enum port_mode { PORT_UNUSED = 0, PORT_BRIDGED = 1, PORT_ROUTED = 2, PORT_SVI = 3 };

enum port_flags {
	PORT_SHUT = 1,   // configured shut: nothing in, nothing out
	PORT_ACCESS = 2, // refuses tagged frames, but for priority tags
	PORT_PEER = 4,   // a veth whose peer is in another namespace: bpf_redirect_peer reaches it
};

struct port {
	__u32 ifindex;
	__u16 mode;
	__u16 flags;
	__u16 native;    // VLAN of untagged frames, 0: none
	__u16 bd;        // of an SVI: its bridge domain
	__u32 mac_limit; // addresses learned here at most, 0: as many as there is room for
	__u8 mac[6];     // of a routed port: its own
	__u16 up_limit;  // frames a second that may give the stack a neighbour, 0: as many as come
};

enum port_state_flags { STATE_UP = 1 };

// Written from link events: what the kernel does not check on our way out.
struct port_state {
	__u32 flags;
	__u32 mtu; // L3 bytes
};

// A device that frames come in by or a route goes out of -> what it is to us.
enum dev_kind { DEV_PORT = 1, DEV_SVI = 2 };
struct dev {
	__u16 kind;
	__u16 id; // port id, or bridge domain of the SVI
};

enum vlan_bits { VLAN_BD = 0x0fff, VLAN_UNTAGGED = 0x4000, VLAN_MEMBER = 0x8000 };
struct port_vlan {
	__u16 entry[MAX_VLANS]; // by VLAN id on the wire
};

// Ports of a bridge domain, a bit each: an update that is half done leaves each port either old or new.
struct flood {
	__u64 tagged[PORT_WORDS];
	__u64 untagged[PORT_WORDS];
};

struct bd {
	__u32 svi_ifindex; // vlanN, 0: none
	__u16 svi_port;    // port id of vlanN-bd
	__u8 svi_mac[6];
};

struct fdb_key {
	__u16 bd;
	__u8 mac[6];
};
enum fdb_flags {
	FDB_STATIC = 1,
	FDB_SELF = 2,
	FDB_HIT = 4, // seen as a source since ageing last walked by: the fast path reads no clock
};
// Eight bytes, so that a move is one store.
struct fdb {
	__u16 port;
	__u16 flags;
	__u32 seen; // ktime >> 30 (units of 1.07 s) of the walk that last found it hit
};
_Static_assert(sizeof(struct fdb) == 8, "read and written as one word");

// What was found in fdb a moment ago. Two words that are not written in one: check is the key xor value, so that halves
// of two rows are none. A row counts in the epoch that it was found in; whatever changes fdb, but for a new address,
// begins another.
struct fdb_near {
	__u64 check;
	__u64 value; // epoch, flags, port
};

// One of the switch's own addresses; IPv4 as ::ffff:a.b.c.d.
struct local_key {
	__u8 addr_be[16];
};
struct local {
	__u32 count; // devices that have it
};

// Named in CLI, API and metrics by these words in lower case with dashes. Never renumbered.
enum drop_reason {
	DROP_NO_PORT = 0,           // the device belongs to no port
	DROP_PORT_SHUT = 1,         // the ingress port is shut
	DROP_BAD_FRAME = 2,         // too short for its headers
	DROP_VLAN_PROTOCOL = 3,     // a tag that is not 802.1Q
	DROP_TAGGED_ON_ACCESS = 4,  // a tagged frame at an access or routed port
	DROP_NO_NATIVE = 5,         // an untagged frame at a trunk without a native VLAN
	DROP_NOT_MEMBER = 6,        // the port is not in that VLAN
	DROP_SOURCE_MULTICAST = 7,  // a group address, or zero, as source
	DROP_SOURCE_OURS = 8,       // the switch's own address as source
	DROP_SOURCE_STATIC = 9,     // a static address seen at another port
	DROP_CONTROL = 10,          // 01:80:c2:00:00:0x, never forwarded (802.1D 7.12.6)
	DROP_SAME_PORT = 11,        // the destination is where it came from
	DROP_PORT_DOWN = 12,        // the egress port is down or shut
	DROP_TOO_BIG = 13,          // larger than the egress port's MTU
	DROP_NO_MEMBER_UP = 14,     // flooded, and nobody there
	DROP_BAD_IP = 15,           // an IP header that lies
	DROP_NOT_IP = 16,           // for the switch's own address, but nothing that it speaks
	DROP_NOT_OURS = 17,         // at a routed port, for another address
	DROP_REDIRECT = 18,         // the kernel refused the hand-over
	DROP_MAC_LIMIT = 19,        // the source would be one too many at this port
	DROP_BLACKHOLE = 20,        // a route that says so
	DROP_DOUBLE_TAG = 21,       // behind a trunk's native VLAN its second tag would name another VLAN
	DROP_UP_LIMIT = 22,         // one too many of those that would give the stack a neighbour
};

// Per ingress port: rx + own = handed + up + punt + sum(drop). Packets: a GSO frame counts its segments. skbs: as
// devices count. Copies are apart: a flooded frame is one handed over.
struct port_counters {
	__u64 rx;
	__u64 rx_bytes;
	__u64 rx_skbs;
	__u64 own; // sent by the switch's own stack
	__u64 handed;
	__u64 up;
	__u64 up_skbs;
	__u64 punt;
	__u64 copies;          // made of frames that came in here
	__u64 copies_up_skbs;  // of them to the SVI
	__u64 learned;
	__u64 moved;
	__u64 fdb_full;
	__u64 up_skipped; // copies for the SVI that up_limit kept from it
	// Per egress port.
	__u64 tx;
	__u64 tx_bytes;
	__u64 tx_skbs;
	__u64 flood_skipped; // not copied here: down, or too big
	__u64 drop[DROP_REASONS];
};

enum trace_action { TRACE_NONE = 0, TRACE_DROP = 1, TRACE_PORT = 2, TRACE_FLOOD = 3, TRACE_UP = 4, TRACE_PASS = 5 };
#define TRACE_COPIES 32
// What emit() did with the last frame, for tests: the target of a redirect is invisible otherwise.
struct trace {
	__u16 action;
	__u16 reason;
	__u16 in_port;
	__u16 copies;
	__u16 port[TRACE_COPIES];
	__u16 vid[TRACE_COPIES]; // the tag that the frame left with, 0: none
};

// Argument of the ageing program.
enum age_mode { AGE_OLD = 0, AGE_PORTS = 1, AGE_ROW = 2, AGE_NOTHING = 3 };
struct age_args {
	__u32 mode;
	__u32 older_than;         // units of fdb.seen
	__u64 ports[PORT_WORDS]; // whose rows go, a bit each
	__u32 removed;            // out
	__u16 bd;                 // of AGE_ROW
	__u8 mac[6];
	__u8 pad[4];
};

// BTF keeps an enum only where something has its type.
struct abi_enums {
	enum port_mode port_mode;
	enum port_flags port_flags;
	enum port_state_flags port_state_flags;
	enum dev_kind dev_kind;
	enum vlan_bits vlan_bits;
	enum fdb_flags fdb_flags;
	enum drop_reason drop_reason;
	enum trace_action trace_action;
	enum age_mode age_mode;
};
