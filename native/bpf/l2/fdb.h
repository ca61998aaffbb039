// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Addresses: learned here, aged in place by a program that the daemon runs. A full table floods, it never evicts, so
// that a flood of new addresses cannot push out those that are in use.
#pragma once
#include "vlan.h"

// The coarse clock is that of the last tick: it costs no read of the hardware's.
INLINE __u32 fdb_now(void) { return bpf_ktime_get_coarse_ns() >> 30; }

INLINE struct fdb *fdb_find(__u16 bd, const __u8 *mac)
{
	struct fdb_key key = { .bd = bd };

	__builtin_memcpy(key.mac, mac, 6);
	return bpf_map_lookup_elem(&fdb, &key);
}

INLINE void fdb_count_add(__u32 port_id, __s32 n)
{
	__u32 *count = bpf_map_lookup_elem(&fdb_count, &port_id);

	if (count)
		__sync_fetch_and_add(count, n);
}

INLINE int fdb_at_limit(__u32 port_id, __u32 limit)
{
	__u32 *count = bpf_map_lookup_elem(&fdb_count, &port_id);

	return limit != 0 && count && *count >= limit;
}

// One store of all eight bytes: a reader sees the old row or the new one.
INLINE void fdb_store(struct fdb *row, __u16 port_id, __u16 flags, __u32 seen)
{
	struct fdb value = { .port = port_id, .flags = flags, .seen = seen };

	*(volatile __u64 *)row = *(__u64 *)&value;
}

// 0, or the reason to drop the frame. At most one store a second per address.
INLINE int fdb_learn(struct pkt *p, const struct port *in)
{
	struct fdb *row = fdb_find(p->bd, p->smac);
	struct port_counters *c;
	struct fdb_key key;
	struct fdb fresh;
	__u32 now;

	if (row) {
		if (row->flags & FDB_SELF)
			return p->own ? 0 : DROP_SOURCE_OURS;
		if (row->flags & FDB_STATIC)
			return row->port == p->in_port ? 0 : DROP_SOURCE_STATIC;
		now = fdb_now();
		if (row->port == p->in_port) {
			if (row->seen != now)
				row->seen = now;
			return 0;
		}
		if (fdb_at_limit(p->in_port, in->mac_limit))
			return DROP_MAC_LIMIT;
		fdb_count_add(row->port, -1);
		fdb_count_add(p->in_port, 1);
		fdb_store(row, p->in_port, 0, now);
		c = counters_of(p->in_port);
		if (c)
			c->moved += 1;
		return 0;
	}
	if (fdb_at_limit(p->in_port, in->mac_limit))
		return DROP_MAC_LIMIT;
	key.bd = p->bd;
	__builtin_memcpy(key.mac, p->smac, 6);
	fresh.port = p->in_port;
	fresh.flags = 0;
	fresh.seen = fdb_now();
	c = counters_of(p->in_port);
	switch (bpf_map_update_elem(&fdb, &key, &fresh, BPF_NOEXIST)) {
	case 0:
		fdb_count_add(p->in_port, 1);
		if (c)
			c->learned += 1;
		break;
	case -17: // EEXIST: another CPU was first
		break;
	default:
		if (c)
			c->fdb_full += 1;
	}
	return 0;
}

// XDP finishes a frame only where nothing is to be learned from it.
INLINE int fdb_known(struct pkt *p)
{
	struct fdb *row = fdb_find(p->bd, p->smac);
	__u32 now;

	if (!row || row->port != p->in_port || (row->flags & FDB_SELF))
		return 0;
	now = fdb_now();
	if (!(row->flags & FDB_STATIC) && row->seen != now)
		row->seen = now;
	return 1;
}

#if !IS_XDP
// Takes a learned row out; 1 where it did.
INLINE int age_take(const struct fdb_key *key, const struct fdb *row)
{
	__u16 port_id = row->port;

	if (bpf_map_delete_elem(&fdb, key))
		return 0;
	fdb_count_add(port_id, -1);
	return 1;
}

static long age_row(void *map, const void *key, void *value, void *arg)
{
	struct age_args *args = arg;
	const struct fdb *row = value;
	struct fdb_key copy = *(const struct fdb_key *)key; // the row may be freed and reused under us
	int match;

	if (row->flags)
		return 0;
	if (args->mode == AGE_OLD)
		match = (__s32)(args->older_than - row->seen) > 0;
	else
		match = args->ports[(row->port >> 6) & (PORT_WORDS - 1)] >> (row->port & 63) & 1;
	if (!match)
		return 0;
	args->removed += age_take(&copy, row);
	return 0;
}
#endif
