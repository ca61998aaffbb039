// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// The forwarding core. A frame's way, in order:
//   1 port    which port it came in by, is that port open               (below, decide)
//   2 parse   Ethernet, one tag in band or beside the frame             parse.h
//   3 vlan    which bridge domain, may it be in it                      l2/vlan.h
//   4 learn   whose address is that                                     l2/fdb.h
//   5 l2      where the destination is                                  (below, bridge)
//   6 l3      for the switch's own MAC: to its stack, or the FIB        l3/route.h
//   7 act     drop and count, hand up, flood, rewrite, tag, emit        l2/flood.h, emit.h
// Stages 1 to 6 decide and change nothing of the frame; only 7 writes. At XDP everything that is not known unicast
// between two XDP ports is passed on untouched and uncounted, and tcx of the same device does it all afresh.
#include "l2/flood.h"

const volatile struct abi_enums abi_enums;
char _license[] SEC("license") = "GPL";

// 01:80:c2:00:00:00 to :0f
INLINE int is_control(__u64 mac) { return (mac & ~MAC(0, 0, 0, 0, 0, 0x0f)) == MAC(0x01, 0x80, 0xc2, 0, 0, 0); }

// Stage 5: the verdict on a bridged frame.
INLINE int bridge(ctx_t *ctx, struct pkt *p)
{
	__u32 key = p->bd, found;
	struct bd *d;

	p->out_bd = p->bd;
	if (is_group(p->dmac))
		return is_control(p->dmac) ? decide_drop(p, DROP_CONTROL) : V_FLOOD;
	found = fdb_get(p, p->bd, p->dmac);
	if (!found)
		return V_FLOOD;
	if (fdb_flags(found) & FDB_SELF) {
		d = bpf_map_lookup_elem(&bd, &key);
		return d && d->svi_ifindex && !p->own ? route_decide(ctx, p, d->svi_ifindex)
						      : decide_drop(p, DROP_NOT_OURS);
	}
	p->out_port = fdb_port(found);
	return p->out_port == p->in_port ? decide_drop(p, DROP_SAME_PORT) : V_PORT;
}

// Stages 5 and 6 at a routed port.
INLINE int routed(ctx_t *ctx, struct pkt *p, const struct port *in)
{
	if (p->tagged && p->vid != 0)
		return decide_drop(p, DROP_TAGGED_ON_ACCESS);
	if (is_control(p->dmac))
		return decide_drop(p, DROP_CONTROL);
	if (is_group(p->dmac))
		return V_UP;
	if (p->dmac != mac_at(in->mac))
		return decide_drop(p, DROP_NOT_OURS);
	return route_decide(ctx, p, in->ifindex);
}

// Stages 1 to 6: the verdict.
INLINE int decide(ctx_t *ctx, struct pkt *p, const struct port *in)
{
	int reason;

	if (in->flags & PORT_SHUT)
		return decide_drop(p, DROP_PORT_SHUT);
	reason = parse_ethernet(ctx, p);
	if (reason)
		return decide_drop(p, reason);
	if (is_group(p->smac) || p->smac == 0)
		return decide_drop(p, DROP_SOURCE_MULTICAST);
	if (in->mode == PORT_ROUTED)
		return routed(ctx, p, in);
	if (in->mode == PORT_SVI) {
		p->bd = in->bd;
	} else {
		reason = vlan_admit(p, in);
		if (reason)
			return decide_drop(p, reason);
	}
	if (!fdb_known(p)) {
#if IS_XDP
		return V_PASS;
#else
		reason = fdb_learn(p, in->mac_limit);
		if (reason)
			return decide_drop(p, reason);
#endif
	}
	return bridge(ctx, p);
}

#if IS_XDP

INLINE int xdp_count(struct pkt *p, __u32 len_out)
{
	struct port_counters *in = counters_of(p->in_port), *out = counters_of(p->out_port);

	if (!in || !out)
		return -1;
	in->rx += 1;
	in->rx_bytes += p->len;
	in->rx_skbs += 1;
	in->handed += 1;
	out->tx += 1;
	out->tx_bytes += len_out;
	out->tx_skbs += 1;
	return 0;
}

// Stage 7 at XDP, of a frame with a port to go to: all that can fail comes before the first write.
INLINE int xdp_act(ctx_t *ctx, struct pkt *p)
{
	int vid = 0;

	if (p->out_bd) {
		vid = vlan_tag_out(p->out_port, p->out_bd);
		if (vid < 0)
			return XDP_PASS;
	}
	if (vid == 0 && is_tag(p->ethertype)) {
		struct port *row = port_of(p->out_port);

		if (!row || emit_doubles(p, row, vid))
			return XDP_PASS;
	}
	// Says where to, if that is an XDP port; nothing goes there unless XDP_REDIRECT is returned.
	if (emit_refused(ctx, p, p->out_port) || bpf_redirect_map(&xdp_port, p->out_port, XDP_PASS) != XDP_REDIRECT)
		return XDP_PASS;
	if ((p->tagged || vid) && vlan_convert(ctx, p, vid))
		return XDP_PASS;
	if (p->routed && route_rewrite(ctx, p))
		return XDP_DROP;
	if (xdp_count(p, p->len + ((vid != 0) - p->tagged) * (int)sizeof(struct vlan_hdr)))
		return XDP_DROP;
	trace_copy(p, p->out_port, vid);
	trace_end(p, TRACE_PORT);
	return XDP_REDIRECT;
}

SEC("xdp")
int switch_xdp(ctx_t *ctx)
{
	struct pkt packet = { .len = frame_len(ctx), .segments = 1, .epoch = fdb_epoch_now() };
	struct pkt *p = &packet;
	struct dev *d = dev_of(IN_IFINDEX(ctx));
	struct port *in;

	if (!d || d->kind != DEV_PORT)
		return XDP_PASS;
	p->in_port = d->id;
	trace_begin(p);
	in = port_of(p->in_port);
	if (!in || (in->mode != PORT_BRIDGED && in->mode != PORT_ROUTED))
		return XDP_PASS;
	return decide(ctx, p, in) == V_PORT ? xdp_act(ctx, p) : XDP_PASS;
}

#else

STAGE hand_up(ctx_t *ctx, struct pkt *p)
{
	struct port_counters *c;
	struct port *in;
	struct bd *d;
	__u32 key;

	if (!p)
		return VERDICT_DROP;
	c = counters_of(p->in_port);
	in = port_of(p->in_port);
	if (!c || !in)
		return VERDICT_DROP;
	ctx->mark = p->in_port;
	if (in->mode == PORT_ROUTED) {
		if (neighbor_refused(ctx, p, in->ifindex))
			return drop(p, DROP_UP_LIMIT);
		if (p->tagged && vlan_convert(ctx, p, 0))
			return drop(p, DROP_REDIRECT);
		c->up += p->segments;
		c->up_skbs += 1;
		trace_end(p, TRACE_PASS);
		return VERDICT_PASS;
	}
	key = p->bd;
	d = bpf_map_lookup_elem(&bd, &key);
	if (d && neighbor_refused(ctx, p, d->svi_ifindex))
		return drop(p, DROP_UP_LIMIT);
	if (!d || !d->svi_ifindex || vlan_convert(ctx, p, 0))
		return drop(p, DROP_REDIRECT);
	c->up += p->segments;
	c->up_skbs += 1;
	trace_end(p, TRACE_UP);
	return bpf_redirect(d->svi_ifindex, BPF_F_INGRESS);
}

// Stage 7.
INLINE int act(ctx_t *ctx, struct pkt *p, struct port_counters *c, int verdict)
{
	int vid = 0, reason;

	if (verdict == V_UP)
		return hand_up(ctx, p);
	if (verdict == V_FLOOD)
		return flood_frame(ctx, p);
	if (verdict != V_PORT)
		return drop(p, p->reason);
	if (p->out_bd) {
		vid = vlan_tag_out(p->out_port, p->out_bd);
		if (vid < 0)
			return drop(p, DROP_NOT_MEMBER);
	}
	reason = emit_refused(ctx, p, p->out_port);
	if (reason)
		return drop(p, reason);
	if (p->routed && route_rewrite(ctx, p))
		return drop(p, DROP_BAD_IP);
	return emit(ctx, p, c, vid);
}

SEC("tc")
int switch_ingress(ctx_t *ctx)
{
	struct pkt packet = { .len = frame_len(ctx), .segments = frame_segments(ctx), .epoch = fdb_epoch_now() };
	struct pkt *p = &packet;
	struct dev *d = dev_of(IN_IFINDEX(ctx));
	struct port_counters *c;
	struct port *in;

	if (d && d->kind == DEV_PORT)
		p->in_port = d->id;
	trace_begin(p);
	in = port_of(p->in_port);
	c = counters_of(p->in_port);
	if (!in || !c)
		return VERDICT_DROP;
	if (in->mode == PORT_SVI) {
		p->own = 1;
		c->own += p->segments;
	} else {
		c->rx += p->segments;
		c->rx_bytes += p->len;
		c->rx_skbs += 1;
	}
	if (in->mode == PORT_UNUSED)
		return drop(p, DROP_NO_PORT);
	return act(ctx, p, c, decide(ctx, p, in));
}

// Frames of the switch's own stack out of a routed port; what we redirected there ourselves is counted already.
SEC("tc")
int switch_egress(ctx_t *ctx)
{
	struct dev *d = dev_of(ctx->ifindex);
	struct port_counters *c;
	__u32 segments;

	if (ctx->mark & MARK_EMITTED) {
		ctx->mark = 0;
		return VERDICT_PASS;
	}
	c = d && d->kind == DEV_PORT ? counters_of(d->id) : 0;
	if (!c)
		return VERDICT_DROP;
	segments = frame_segments(ctx);
	c->own += segments;
	c->handed += segments;
	c->tx += segments;
	c->tx_bytes += ctx->len;
	c->tx_skbs += 1;
	ctx->mark = 0;
	return VERDICT_PASS;
}

SEC("syscall")
int fdb_age(struct age_args *args)
{
	struct age_walk walk = { .args = *args, .now = bpf_ktime_get_ns() >> 30 };

	walk.args.removed = 0;
	if (args->mode == AGE_ROW) {
		struct fdb_key key = { .bd = args->bd };
		struct fdb *row = fdb_find(args->bd, mac_at(args->mac));

		__builtin_memcpy(key.mac, args->mac, 6);
		if (row && !(row->flags & ~FDB_HIT))
			walk.args.removed = age_take(&key, row->port);
	} else if (args->mode != AGE_NOTHING) {
		bpf_for_each_map_elem(&fdb, age_row, &walk, 0);
	}
	fdb_changed();
	args->removed = walk.args.removed;
	return 0;
}

#endif
