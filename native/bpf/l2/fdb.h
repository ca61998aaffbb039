// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Addresses: learned here, aged in place by a program that the daemon runs. A full table floods, it never evicts, so
// that a flood of new addresses cannot push out those that are in use.
#pragma once
#include "vlan.h"

// struct fdb_key as one number.
INLINE __u64 fdb_key_of(__u16 bd, __u64 mac) { return bd | mac << 16; }

INLINE struct fdb *fdb_find(__u16 bd, __u64 mac)
{
	__u64 key = fdb_key_of(bd, mac);

	return bpf_map_lookup_elem(&fdb, &key);
}

INLINE __u32 *fdb_epoch_at(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&fdb_epoch, &zero);
}

INLINE __u32 fdb_epoch_now(void)
{
	__u32 *epoch = fdb_epoch_at();

	return epoch ? *(volatile __u32 *)epoch : 0;
}

// A row has changed or gone: what was found so far counts no more.
INLINE void fdb_changed(void)
{
	__u32 *epoch = fdb_epoch_at();

	if (epoch)
		__sync_fetch_and_add(epoch, 1);
}

// What the table says of an address: flags above the port, 0 where it has no row.
INLINE __u16 fdb_port(__u32 found) { return found; }
INLINE __u16 fdb_flags(__u32 found) { return found >> 16; }

INLINE struct fdb_near *fdb_near_at(__u64 key)
{
	__u32 slot = key * 0x9e3779b97f4a7c15 >> 49; // Fibonacci hashing, to FDB_NEAR slots

	return bpf_map_lookup_elem(&fdb_near, &slot);
}

INLINE void fdb_remember(struct pkt *p, __u64 key, __u32 found)
{
	struct fdb_near *near = fdb_near_at(key);
	__u64 value = (__u64)p->epoch << 32 | found;

	if (!near)
		return;
	near->check = key ^ value;
	near->value = value;
}

// A look at the table itself. The fence keeps the look behind the epoch's.
INLINE __u32 fdb_look(struct pkt *p, __u64 key)
{
	__u64 fence = 0;
	struct fdb *row;
	__u32 found;

	if (__sync_fetch_and_add(&fence, 1))
		return 0;
	row = bpf_map_lookup_elem(&fdb, &key);
	if (!row)
		return 0;
	found = *(volatile __u64 *)row;
	fdb_remember(p, key, found);
	return found;
}

INLINE __u32 fdb_get(struct pkt *p, __u16 bd, __u64 mac)
{
	__u64 key = fdb_key_of(bd, mac), value;
	struct fdb_near *near = fdb_near_at(key);

	if (!near)
		return 0;
	value = *(volatile __u64 *)&near->value;
	if ((*(volatile __u64 *)&near->check ^ value) == key && value >> 32 == p->epoch)
		return value;
	return fdb_look(p, key);
}

// Marks the source's row, once a walk of the ageing.
STAGE fdb_hit(struct pkt *p)
{
	struct fdb *row;

	if (!p)
		return 0;
	row = fdb_find(p->bd, p->smac);
	if (!row || row->flags || row->port != p->in_port)
		return 0;
	row->flags = FDB_HIT;
	fdb_remember(p, fdb_key_of(p->bd, p->smac), FDB_HIT << 16 | p->in_port);
	return 0;
}

// Whether the source is known at the port that the frame came in by, so that there is nothing to learn.
INLINE int fdb_known(struct pkt *p)
{
	__u32 found = fdb_get(p, p->bd, p->smac);

	if (fdb_port(found) != p->in_port || (fdb_flags(found) & FDB_SELF && !p->own))
		return 0;
	if (fdb_flags(found) == 0)
		fdb_hit(p);
	return 1;
}

#if !IS_XDP
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

INLINE __u64 fdb_value(__u16 port_id, __u16 flags, __u32 seen)
{
	struct fdb value = { .port = port_id, .flags = flags, .seen = seen };

	return *(__u64 *)&value;
}

// A source that is not known where it is: 0, or the reason to drop the frame.
STAGE fdb_learn(struct pkt *p, __u32 mac_limit)
{
	struct port_counters *c;
	struct fdb *row;
	__u64 key, fresh;

	if (!p)
		return DROP_BAD_FRAME;
	row = fdb_find(p->bd, p->smac);
	if (row && (row->flags & FDB_SELF))
		return p->own ? 0 : DROP_SOURCE_OURS;
	if (row && row->port == p->in_port)
		return 0;
	if (row && (row->flags & FDB_STATIC))
		return DROP_SOURCE_STATIC;
	if (fdb_at_limit(p->in_port, mac_limit))
		return DROP_MAC_LIMIT;
	c = counters_of(p->in_port);
	if (!c)
		return 0;
	fresh = fdb_value(p->in_port, FDB_HIT, 0);
	if (row) {
		fdb_count_add(row->port, -1);
		fdb_count_add(p->in_port, 1);
		*(volatile __u64 *)row = fresh; // one store: a reader sees the old row or the new one
		fdb_changed();
		p->epoch = fdb_epoch_now(); // the destination may be the same address
		c->moved += 1;
		return 0;
	}
	key = fdb_key_of(p->bd, p->smac);
	switch (bpf_map_update_elem(&fdb, &key, &fresh, BPF_NOEXIST)) {
	case 0:
		fdb_count_add(p->in_port, 1);
		c->learned += 1;
		break;
	case -17: // EEXIST: another CPU was first
		break;
	default:
		c->fdb_full += 1;
	}
	return 0;
}

struct age_walk {
	struct age_args args;
	__u32 now;
};

// Takes a learned row out; 1 where it did.
INLINE int age_take(const struct fdb_key *key, __u16 port_id)
{
	if (bpf_map_delete_elem(&fdb, key))
		return 0;
	fdb_count_add(port_id, -1);
	return 1;
}

static long age_row(void *map, const void *key, void *value, void *arg)
{
	struct age_walk *walk = arg;
	struct age_args *args = &walk->args;
	const struct fdb row = *(const struct fdb *)value;
	struct fdb_key copy = *(const struct fdb_key *)key; // the row may be freed and reused under us
	int match;

	if (row.flags & ~FDB_HIT)
		return 0;
	if (args->mode == AGE_OLD && (row.flags & FDB_HIT)) {
		// Where the address has moved meanwhile its new row stays.
		__u64 before = fdb_value(row.port, row.flags, row.seen);

		__sync_val_compare_and_swap((__u64 *)value, before, fdb_value(row.port, 0, walk->now));
		return 0;
	}
	if (args->mode == AGE_OLD)
		match = (__s32)(args->older_than - row.seen) > 0;
	else
		match = args->ports[(row.port >> 6) & (PORT_WORDS - 1)] >> (row.port & 63) & 1;
	if (match)
		args->removed += age_take(&copy, row.port);
	return 0;
}
#endif
