// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Unknown unicast, broadcast and multicast: a copy to every member but the one that it came from. The form that the
// frame has comes first, so that it is converted once; the switch's own copy is the last and is the frame itself.
#pragma once
#include "../l3/neighbor.h"

#if !IS_XDP
struct flood_walk {
	ctx_t *ctx;
	struct pkt *p;
	const __u64 *list; // PORT_WORDS of them
	__u64 bits;        // of the word at hand, still to do
	__u32 words;       // that have bits, still to do: a bit each
	__u32 word;
	__u32 sent;
};

static long flood_step(__u32 i, void *arg)
{
	struct flood_walk *w = arg;
	__u32 id;

	if (w->bits == 0) {
		if (w->words == 0)
			return 1;
		w->word = __builtin_ctz(w->words) & (PORT_WORDS - 1);
		w->words &= w->words - 1;
		w->bits = w->list[w->word];
		if (w->bits == 0)
			return 0;
	}
	id = w->word * 64 + __builtin_ctzll(w->bits);
	w->bits &= w->bits - 1;
	if (id == w->p->in_port && !w->p->routed)
		return 0;
	w->sent += emit_copy(w->ctx, w->p, id);
	return 0;
}

// Without a branch: the verifier would walk both ways of each, 65,536 in all.
INLINE __u32 flood_words(const __u64 *list)
{
	__u32 words = 0;

	for (int i = 0; i < PORT_WORDS; i++) {
		__u64 minus = -list[i];

		asm volatile("" : "+r"(minus)); // else clang makes a comparison of it
		words |= (__u32)((list[i] | minus) >> 63) << i;
	}
	return words;
}

// Copies to the tagged or the untagged members; how many went.
STAGE flood_list(ctx_t *ctx, struct pkt *p, __u32 tagged)
{
	struct flood_walk w = { .ctx = ctx, .p = p };
	struct flood *row;
	__u32 key;

	if (!p)
		return 0;
	key = p->out_bd;
	row = bpf_map_lookup_elem(&flood, &key);
	if (!row)
		return 0;
	w.list = tagged ? row->tagged : row->untagged;
	w.words = flood_words(w.list);
	if (w.words == 0 || vlan_convert(ctx, p, tagged ? p->out_bd : 0))
		return 0;
	bpf_loop(MAX_PORTS + PORT_WORDS, flood_step, &w, 0);
	return w.sent;
}

STAGE flood_frame(ctx_t *ctx, struct pkt *p)
{
	struct port_counters *c;
	__u32 sent, key;
	struct bd *d;
	__u8 first;
	int up;

	if (!p)
		return VERDICT_DROP;
	if (p->routed && route_rewrite(ctx, p))
		return drop(p, DROP_BAD_IP);
	key = p->out_bd;
	d = bpf_map_lookup_elem(&bd, &key);
	c = counters_of(p->in_port);
	if (!c)
		return drop(p, DROP_NO_MEMBER_UP);
	first = p->tagged && p->vid == p->out_bd;
	sent = flood_list(ctx, p, first);
	sent += flood_list(ctx, p, !first);
	c->copies += (__u64)sent * p->segments;
	up = d && d->svi_ifindex && !p->own && !p->routed && is_group(p->dmac) &&
	     (p->ethertype == ETH_ARP || p->ethertype == ETH_IPV4 || p->ethertype == ETH_IPV6);
	if (up && neighbor_refused(ctx, p, d->svi_ifindex)) {
		c->up_skipped += p->segments;
		if (!sent)
			return drop(p, DROP_UP_LIMIT);
		up = 0;
	}
	if (up) {
		if (vlan_convert(ctx, p, 0))
			return drop(p, DROP_REDIRECT);
		c->copies_up_skbs += 1;
		c->copies += p->segments;
		c->handed += p->segments;
		trace_copy(p, d->svi_port, 0);
		trace_end(p, TRACE_FLOOD);
		ctx->mark = p->in_port;
		return bpf_redirect(d->svi_ifindex, BPF_F_INGRESS);
	}
	if (!sent)
		return drop(p, DROP_NO_MEMBER_UP);
	c->handed += p->segments;
	trace_end(p, TRACE_FLOOD);
	return VERDICT_DROP;
}
#endif
