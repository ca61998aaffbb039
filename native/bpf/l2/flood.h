// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Unknown unicast, broadcast and multicast: a copy to every member but the one that it came from. The form that the
// frame has comes first, so that it is converted once; the switch's own copy is the last and is the frame itself.
#pragma once
#include "../emit.h"

#if !IS_XDP
struct flood_walk {
	ctx_t *ctx;
	struct pkt *p;
	struct flood *list;
	__u64 bits;
	__u32 word;
	__u32 sent;
	__u8 tagged;
};

static long flood_step(__u32 i, void *arg)
{
	struct flood_walk *w = arg;
	__u32 id, bit;

	if (w->bits == 0) {
		if (w->word >= PORT_WORDS)
			return 1;
		w->bits = w->tagged ? w->list->tagged[w->word & (PORT_WORDS - 1)]
				    : w->list->untagged[w->word & (PORT_WORDS - 1)];
		w->word += 1;
		return 0;
	}
	bit = __builtin_ctzll(w->bits);
	w->bits &= w->bits - 1;
	id = (w->word - 1) * 64 + bit;
	if (id == w->p->in_port && !w->p->routed)
		return 0;
	w->sent += emit_copy(w->ctx, w->p, id);
	return 0;
}

INLINE int flood_has(const __u64 *words)
{
	__u64 any = 0;

	for (int i = 0; i < PORT_WORDS; i++)
		any |= words[i];
	return any != 0;
}

// Copies to the tagged or the untagged members; how many went.
STAGE flood_list(ctx_t *ctx, struct pkt *p, __u32 tagged)
{
	struct flood_walk w = { .ctx = ctx, .p = p, .tagged = tagged };
	__u32 key;

	if (!p)
		return 0;
	key = p->out_bd;
	w.list = bpf_map_lookup_elem(&flood, &key);
	if (!w.list || !flood_has(tagged ? w.list->tagged : w.list->untagged))
		return 0;
	if (vlan_convert(ctx, p, tagged ? p->out_bd : 0))
		return 0;
	bpf_loop(MAX_PORTS + PORT_WORDS + 1, flood_step, &w, 0);
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
	key = p->out_bd;
	d = bpf_map_lookup_elem(&bd, &key);
	c = counters_of(p->in_port);
	if (!c)
		return drop(p, DROP_NO_MEMBER_UP);
	first = p->tagged && p->vid == p->out_bd;
	sent = flood_list(ctx, p, first);
	sent += flood_list(ctx, p, !first);
	up = d && d->svi_ifindex && !p->own && !p->routed && is_group(p->dmac) &&
	     (p->ethertype == ETH_ARP || p->ethertype == ETH_IPV4 || p->ethertype == ETH_IPV6);
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
