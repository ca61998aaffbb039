// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Frames for the switch's own MAC address: to its stack where they are for it, else by the kernel's own FIB. What the
// FIB cannot finish (no neighbour yet, an ICMP error to send) the stack forwards, so that it is always right.
#pragma once
#include "../emit.h"
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#define AF_INET 2
#define AF_INET6 10
// Tells the verifier how far in L3 can begin: 14, or 18 behind a tag.
#define L3_MASK 31

// Of this network, loopback, multicast or reserved: the stack's to judge, never routed (RFC 1812 5.3.7).
INLINE int special4(__be32 addr)
{
	__u32 net = bpf_ntohl(addr) >> 24;

	return net == 0 || net == 127 || net >= 224;
}

// Unspecified, loopback, mapped, link-local or multicast: never routed either (RFC 4291 2.5).
INLINE int special6(const struct in6_addr *addr)
{
	return addr->s6_addr[0] >= 0xfe || !(addr->s6_addr[0] | addr->s6_addr[1]);
}

INLINE int local_has4(__be32 addr)
{
	struct local_key key = {};

	key.addr_be[10] = 0xff;
	key.addr_be[11] = 0xff;
	__builtin_memcpy(&key.addr_be[12], &addr, 4);
	return bpf_map_lookup_elem(&local, &key) != 0;
}

INLINE int local_has6(const struct in6_addr *addr)
{
	struct local_key key;

	__builtin_memcpy(key.addr_be, addr, 16);
	return bpf_map_lookup_elem(&local, &key) != 0;
}

// Length on the wire of the largest segment from L3 on: with 0 a GSO frame would pass any MTU.
INLINE __u16 l3_segment_len(ctx_t *ctx, __u16 total, __u16 l3_header, __u8 protocol)
{
#if !IS_XDP
	if (ctx->gso_size != 0)
		return l3_header + (protocol == IPPROTO_UDP ? 8 : 20) + ctx->gso_size;
#endif
	return total;
}

// 0: `fib` asks about this packet. V_UP: the stack must judge it. Else minus the drop reason.
INLINE int route_ipv4(ctx_t *ctx, struct pkt *p, struct bpf_fib_lookup *fib)
{
	struct iphdr *ip = DATA(ctx) + (p->l3 & L3_MASK);
	__u16 total;

	if ((void *)(ip + 1) > DATA_END(ctx))
		return -DROP_BAD_IP;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || ip->ihl < 5 || total < ip->ihl * 4 || (p->segments == 1 && p->l3 + total > p->len))
		return -DROP_BAD_IP;
	if (local_has4(ip->daddr) || ip->ihl > 5 || ip->ttl <= 1 || special4(ip->saddr) || special4(ip->daddr))
		return V_UP;
	fib->family = AF_INET;
	fib->l4_protocol = ip->protocol;
	fib->tos = ip->tos;
	fib->tot_len = l3_segment_len(ctx, total, 20, ip->protocol);
	fib->ipv4_src = ip->saddr;
	fib->ipv4_dst = ip->daddr;
	return 0;
}

INLINE int route_ipv6(ctx_t *ctx, struct pkt *p, struct bpf_fib_lookup *fib)
{
	struct ipv6hdr *ip = DATA(ctx) + (p->l3 & L3_MASK);
	__u32 total;

	if ((void *)(ip + 1) > DATA_END(ctx))
		return -DROP_BAD_IP;
	total = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	if (ip->version != 6 || (p->segments == 1 && p->l3 + total > p->len))
		return -DROP_BAD_IP;
	if (local_has6(&ip->daddr) || ip->hop_limit <= 1 || special6(&ip->saddr) || special6(&ip->daddr))
		return V_UP;
	fib->family = AF_INET6;
	fib->l4_protocol = ip->nexthdr;
	fib->tot_len = l3_segment_len(ctx, total > 0xffff ? 0xffff : total, 40, ip->nexthdr);
	__builtin_memcpy(fib->ipv6_src, &ip->saddr, 16);
	__builtin_memcpy(fib->ipv6_dst, &ip->daddr, 16);
	return 0;
}

// Makes the longest header that is looked at contiguous, where it is not: the call costs as much as a lookup.
INLINE int route_pull(ctx_t *ctx, struct pkt *p)
{
	__u32 want = p->l3 + sizeof(struct ipv6hdr);

	if (DATA(ctx) + (want & 63) <= DATA_END(ctx))
		return 0;
	return frame_pull(ctx, want > p->len ? p->len : want);
}

// The verdict on a frame for the switch's own MAC; `in_ifindex` is the SVI, or the routed port itself.
STAGE route_decide(ctx_t *ctx, struct pkt *p, __u32 in_ifindex)
{
	struct bpf_fib_lookup fib = {};
	struct dev *out;
	__u32 found;
	int rc;

	if (!p)
		return V_DROP;
	if (route_pull(ctx, p))
		return decide_drop(p, DROP_BAD_IP);
	if (p->ethertype == ETH_IPV4)
		rc = route_ipv4(ctx, p, &fib);
	else if (p->ethertype == ETH_IPV6)
		rc = route_ipv6(ctx, p, &fib);
	else if (p->ethertype == ETH_ARP)
		return V_UP;
	else
		return decide_drop(p, DROP_NOT_IP);
	if (rc < 0)
		return decide_drop(p, -rc);
	if (rc == V_UP)
		return V_UP;
	fib.ifindex = in_ifindex;
	rc = bpf_fib_lookup(ctx, &fib, sizeof(fib), BPF_FIB_LOOKUP_DIRECT);
	if (rc == BPF_FIB_LKUP_RET_BLACKHOLE)
		return decide_drop(p, DROP_BLACKHOLE);
	if (rc != BPF_FIB_LKUP_RET_SUCCESS)
		return V_UP;
	out = dev_of(fib.ifindex);
	if (!out)
		return V_UP;
	p->next_dmac = mac_at(fib.dmac);
	p->next_smac = mac_at(fib.smac);
	p->routed = 1;
	if (out->kind == DEV_PORT) {
		p->out_bd = 0;
		p->out_port = out->id;
		return V_PORT;
	}
	p->out_bd = out->id;
	found = fdb_get(p, p->out_bd, p->next_dmac);
	if (!found)
		return V_FLOOD;
	if (fdb_flags(found) & FDB_SELF)
		return V_UP;
	p->out_port = fdb_port(found);
	return V_PORT;
}

// The next hop's addresses, and one hop less. RFC 1624 eqn. 3 for the checksum.
INLINE int route_rewrite(ctx_t *ctx, struct pkt *p)
{
	struct eth_hdr *eth = DATA(ctx);

	if (p->ethertype == ETH_IPV4) {
		struct iphdr *ip = DATA(ctx) + (p->l3 & L3_MASK);
		__u32 sum;

		if ((void *)(ip + 1) > DATA_END(ctx))
			return -1;
		sum = (__u32)ip->check + bpf_htons(0x0100);
		ip->check = (__u16)(sum + (sum >= 0xffff));
		ip->ttl -= 1;
	} else {
		struct ipv6hdr *ip = DATA(ctx) + (p->l3 & L3_MASK);

		if ((void *)(ip + 1) > DATA_END(ctx))
			return -1;
		ip->hop_limit -= 1;
	}
	if ((void *)(eth + 1) > DATA_END(ctx))
		return -1;
	mac_put(eth->dst, p->next_dmac);
	mac_put(eth->src, p->next_smac);
	return 0;
}
