// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// What gives the stack a neighbour to learn or to ask for: ARP, neighbour discovery, packets from or for a neighbour
// that it does not know. Its table is small and takes in whatever it is told (net/core/neighbour.c), so each port has
// only so many of these a second: a port that floods leaves room for the others' neighbours. All else that goes up is
// free.
#pragma once
#include "route.h"

#if !IS_XDP
// At once, after a while without any.
#define UP_BURST 64

INLINE int neighbor_unknown(ctx_t *ctx, struct bpf_fib_lookup *fib, __u32 flags)
{
	return bpf_fib_lookup(ctx, fib, sizeof(*fib), BPF_FIB_LOOKUP_DIRECT | flags) == BPF_FIB_LKUP_RET_NO_NEIGH;
}

// A request for one of our addresses; of others the stack takes in only what it knows.
INLINE int neighbor_new_arp(ctx_t *ctx, struct pkt *p)
{
	__u8 *arp = DATA(ctx) + (p->l3 & L3_MASK);
	__be32 target;

	if ((void *)(arp + 28) > DATA_END(ctx))
		return 0;
	__builtin_memcpy(&target, arp + 24, 4);
	return local_has4(target);
}

INLINE int neighbor_new4(ctx_t *ctx, struct pkt *p, __u32 ifindex)
{
	struct bpf_fib_lookup from = { .family = AF_INET, .ifindex = ifindex };
	struct bpf_fib_lookup to = from;
	struct iphdr *ip = DATA(ctx) + (p->l3 & L3_MASK);

	if ((void *)(ip + 1) > DATA_END(ctx))
		return 0;
	from.ipv4_src = ip->daddr;
	from.ipv4_dst = ip->saddr;
	to.ipv4_src = ip->saddr;
	to.ipv4_dst = ip->daddr;
	if (special4(from.ipv4_dst))
		return 0;
	if (!local_has4(to.ipv4_dst) && neighbor_unknown(ctx, &to, 0))
		return 1;
	return neighbor_unknown(ctx, &from, 0);
}

INLINE int neighbor_new6(ctx_t *ctx, struct pkt *p, __u32 ifindex)
{
	struct bpf_fib_lookup fib = { .family = AF_INET6, .ifindex = ifindex };
	struct ipv6hdr *ip = DATA(ctx) + (p->l3 & L3_MASK);
	struct in6_addr from, to;

	if ((void *)(ip + 1) > DATA_END(ctx))
		return 0;
	// Neighbour discovery came from next door (RFC 4861 7.1.1), perhaps behind other headers.
	if (ip->hop_limit == 255 && ip->nexthdr != IPPROTO_TCP && ip->nexthdr != IPPROTO_UDP)
		return 1;
	if (is_group(p->dmac))
		return 0;
	from = ip->saddr;
	to = ip->daddr;
	__builtin_memcpy(fib.ipv6_src, &from, 16);
	__builtin_memcpy(fib.ipv6_dst, &to, 16);
	if (!special6(&to) && !local_has6(&to) && neighbor_unknown(ctx, &fib, 0))
		return 1;
	fib.ifindex = ifindex;
	__builtin_memcpy(fib.ipv6_src, &to, 16);
	__builtin_memcpy(fib.ipv6_dst, &from, 16);
	// A link-local address is one of the device that it was seen at.
	return neighbor_unknown(ctx, &fib, from.s6_addr[0] == 0xfe ? BPF_FIB_LOOKUP_OUTPUT : 0);
}

// GCRA: up_due is when the port's next one is due. Two CPUs at once may take one for the price of none.
INLINE int neighbor_over_limit(__u32 port_id, __u32 limit)
{
	__u64 step, now, start, *due = bpf_map_lookup_elem(&up_due, &port_id);

	if (!due || limit == 0)
		return 0;
	step = 1000000000ULL / limit;
	now = bpf_ktime_get_coarse_ns();
	start = *due > now ? *due : now;
	if (start - now >= UP_BURST * step)
		return 1;
	*due = start + step;
	return 0;
}

// 1 where this frame, on its way up to the device, is one too many of its port's.
STAGE neighbor_refused(ctx_t *ctx, struct pkt *p, __u32 ifindex)
{
	struct port *in;
	int fresh;

	if (!p)
		return 0;
	in = port_of(p->in_port);
	if (!in || in->up_limit == 0)
		return 0;
	if (p->ethertype == ETH_ARP)
		fresh = neighbor_new_arp(ctx, p);
	else if (p->ethertype == ETH_IPV6)
		fresh = neighbor_new6(ctx, p, ifindex);
	else
		fresh = p->ethertype == ETH_IPV4 && !is_group(p->dmac) && neighbor_new4(ctx, p, ifindex);
	return fresh && neighbor_over_limit(p->in_port, in->up_limit);
}
#endif
