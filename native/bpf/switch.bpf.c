// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// The forwarding core. A frame's way, in order:
//   1 port    which port it came in by, is that port open               (below, admit)
//   2 parse   Ethernet, one tag in band or beside the frame             parse.h
//   3 vlan    which bridge domain, may it be in it                      l2/vlan.h
//   4 learn   whose address is that                                     l2/fdb.h
//   5 l2      where the destination is                                  (below, bridge)
//   6 l3      for the switch's own MAC: to its stack, or the FIB        l3/route.h
//   7 act     drop and count, hand up, flood, rewrite, tag, emit        l2/flood.h, emit.h
// Stages 1 to 6 decide and change nothing of the frame; only 7 writes. At XDP everything that is not known unicast
// between two XDP ports is passed on untouched and uncounted, and tcx of the same device does it all afresh.
#include "l3/route.h"
#include "l2/flood.h"

const volatile struct abi_enums abi_enums;
char _license[] SEC("license") = "GPL";

// 01:80:c2:00:00:00 to :0f
INLINE int is_control(const __u8 *mac)
{
	return mac[0] == 0x01 && mac[1] == 0x80 && mac[2] == 0xc2 && !(mac[3] | mac[4]) && mac[5] < 0x10;
}

INLINE void begin(ctx_t *ctx, struct pkt *p)
{
	p->in_port = 0;
	p->out_port = 0;
	p->bd = 0;
	p->out_bd = 0;
	p->reason = 0;
	p->routed = 0;
	p->own = 0;
	p->tagged = 0;
	p->in_band = 0;
	p->vid = 0;
	p->priority = 0;
	p->len = frame_len(ctx);
	p->segments = frame_segments(ctx);
}

// Stage 5: p->verdict for a bridged frame.
INLINE int bridge(ctx_t *ctx, struct pkt *p)
{
	struct fdb *row;
	__u32 key = p->bd;
	struct bd *d;

	p->out_bd = p->bd;
	if (is_group(p->dmac)) {
		p->verdict = V_FLOOD;
		return is_control(p->dmac) ? decide_drop(p, DROP_CONTROL) : V_FLOOD;
	}
	row = fdb_find(p->bd, p->dmac);
	if (!row) {
		p->verdict = V_FLOOD;
		return V_FLOOD;
	}
	if (row->flags & FDB_SELF) {
		d = bpf_map_lookup_elem(&bd, &key);
		return d && d->svi_ifindex && !p->own ? route_decide(ctx, p, d->svi_ifindex)
						      : decide_drop(p, DROP_NOT_OURS);
	}
	p->out_port = row->port;
	if (p->out_port == p->in_port)
		return decide_drop(p, DROP_SAME_PORT);
	p->verdict = V_PORT;
	return V_PORT;
}

// Stages 1 to 6 at a routed port.
INLINE int routed(ctx_t *ctx, struct pkt *p, const struct port *in)
{
	if (p->tagged && p->vid != 0)
		return decide_drop(p, DROP_TAGGED_ON_ACCESS);
	if (is_control(p->dmac))
		return decide_drop(p, DROP_CONTROL);
	if (is_group(p->dmac))
		return decide_up(p);
	if (!same_mac(p->dmac, in->mac))
		return decide_drop(p, DROP_NOT_OURS);
	return route_decide(ctx, p, in->ifindex);
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

// Stage 7 at XDP: all that can fail comes before the first write.
INLINE int xdp_act(ctx_t *ctx, struct pkt *p)
{
	__u32 out = p->out_port;
	int vid = 0;

	if (p->verdict != V_PORT || !bpf_map_lookup_elem(&xdp_port, &out) || emit_refused(ctx, p, out))
		return XDP_PASS;
	if (p->out_bd) {
		vid = vlan_tag_out(out, p->out_bd);
		if (vid < 0)
			return XDP_PASS;
	}
	if (vid == 0 && is_tag(p->ethertype)) {
		struct port *row = port_of(out);

		if (!row || emit_doubles(p, row, vid))
			return XDP_PASS;
	}
	if ((p->tagged || vid) && vlan_convert(ctx, p, vid))
		return XDP_PASS;
	if (p->routed && route_rewrite(ctx, p))
		return XDP_DROP;
	if (xdp_count(p, frame_len(ctx)))
		return XDP_DROP;
	trace_copy(p, out, vid);
	trace_end(p, TRACE_PORT);
	return bpf_redirect_map(&xdp_port, out, 0);
}

SEC("xdp")
int switch_xdp(ctx_t *ctx)
{
	__u32 ifindex = IN_IFINDEX(ctx);
	struct pkt *p = pkt_get();
	struct port *in;
	struct dev *d;

	if (!p)
		return XDP_PASS;
	begin(ctx, p);
	d = bpf_map_lookup_elem(&dev, &ifindex);
	if (!d || d->kind != DEV_PORT)
		return XDP_PASS;
	p->in_port = d->id;
	trace_begin(p);
	in = port_of(p->in_port);
	if (!in || (in->flags & PORT_SHUT) || parse_ethernet(ctx, p))
		return XDP_PASS;
	if (is_group(p->smac) || is_zero(p->smac) || is_group(p->dmac))
		return XDP_PASS;
	if (in->mode == PORT_ROUTED) {
		routed(ctx, p, in);
		return xdp_act(ctx, p);
	}
	if (in->mode != PORT_BRIDGED || vlan_admit(p, in) || !fdb_known(p))
		return XDP_PASS;
	bridge(ctx, p);
	return xdp_act(ctx, p);
}

#else

INLINE int hand_up(ctx_t *ctx, struct pkt *p, const struct port *in, __u32 judged)
{
	struct port_counters *c = counters_of(p->in_port);
	__u32 key = p->bd;
	struct bd *d;

	if (!c)
		return VERDICT_DROP;
	ctx->mark = p->in_port | judged;
	if (in->mode == PORT_ROUTED) {
		if (p->tagged && vlan_convert(ctx, p, 0))
			return drop(p, DROP_REDIRECT);
		c->up += p->segments;
		c->up_skbs += 1;
		trace_end(p, TRACE_PASS);
		return VERDICT_PASS;
	}
	d = bpf_map_lookup_elem(&bd, &key);
	if (!d || !d->svi_ifindex || vlan_convert(ctx, p, 0))
		return drop(p, DROP_REDIRECT);
	c->up += p->segments;
	c->up_skbs += 1;
	trace_end(p, TRACE_UP);
	return bpf_redirect(d->svi_ifindex, BPF_F_INGRESS);
}

STAGE act_routed(ctx_t *ctx, struct pkt *p)
{
	if (!p)
		return VERDICT_DROP;
	if (route_rewrite(ctx, p))
		return drop(p, DROP_BAD_IP);
	return 0;
}

// Stage 7.
INLINE int act(ctx_t *ctx, struct pkt *p, const struct port *in)
{
	int vid = 0;

	switch (p->verdict) {
	case V_UP:
		return hand_up(ctx, p, in, 0);
	case V_FLOOD:
		if (p->routed && act_routed(ctx, p))
			return VERDICT_DROP;
		return flood_frame(ctx, p);
	case V_PORT:
		if (p->routed) {
			int reason = emit_refused(ctx, p, p->out_port);

			if (reason)
				return drop(p, reason);
			if (act_routed(ctx, p))
				return VERDICT_DROP;
		}
		if (p->out_bd) {
			vid = vlan_tag_out(p->out_port, p->out_bd);
			if (vid < 0)
				return drop(p, DROP_NOT_MEMBER);
		}
		return emit(ctx, p, vid);
	default:
		return drop(p, p->reason);
	}
}

SEC("tc")
int switch_ingress(ctx_t *ctx)
{
	__u32 ifindex = IN_IFINDEX(ctx);
	struct port_counters *c;
	struct pkt *p = pkt_get();
	struct port *in;
	struct dev *d;
	int reason;

	if (!p)
		return VERDICT_DROP;
	begin(ctx, p);
	d = bpf_map_lookup_elem(&dev, &ifindex);
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
	if (in->flags & PORT_SHUT)
		return drop(p, DROP_PORT_SHUT);
	reason = parse_ethernet(ctx, p);
	if (reason)
		return drop(p, reason);
	if (is_group(p->smac) || is_zero(p->smac))
		return drop(p, DROP_SOURCE_MULTICAST);
	if (in->mode == PORT_ROUTED) {
		routed(ctx, p, in);
		return act(ctx, p, in);
	}
	if (in->mode == PORT_SVI) {
		p->bd = in->bd;
	} else {
		reason = vlan_admit(p, in);
		if (reason)
			return drop(p, reason);
	}
	reason = fdb_learn(p, in);
	if (reason)
		return drop(p, reason);
	bridge(ctx, p);
	return act(ctx, p, in);
}

// Frames of the switch's own stack out of a routed port; what we redirected there ourselves is counted already.
SEC("tc")
int switch_egress(ctx_t *ctx)
{
	__u32 ifindex = ctx->ifindex;
	struct port_counters *c;
	__u32 segments;
	struct dev *d;

	if (ctx->mark & MARK_EMITTED) {
		ctx->mark = 0;
		return VERDICT_PASS;
	}
	d = bpf_map_lookup_elem(&dev, &ifindex);
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
	struct age_args local = *args;

	local.removed = 0;
	if (local.mode == AGE_ROW) {
		struct fdb *row = fdb_find(local.bd, local.mac);
		struct fdb_key key = { .bd = local.bd };

		__builtin_memcpy(key.mac, local.mac, 6);
		if (row && !row->flags)
			local.removed = age_take(&key, row);
	} else {
		bpf_for_each_map_elem(&fdb, age_row, &local, 0);
	}
	args->removed = local.removed;
	return 0;
}

#endif
