// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// The way out. bpf_redirect_peer and XDP skip what a device would check, and lose frames without a word where the peer
// is down: link, shut and MTU are asked of port_state here.
#pragma once
#include "l2/fdb.h"

#define L2_OVERHEAD 14

INLINE struct port_state *state_of(__u32 id) { return bpf_map_lookup_elem(&port_state, &id); }

// 0, or the reason why this frame cannot leave by the port.
INLINE int emit_refused(ctx_t *ctx, struct pkt *p, __u32 id)
{
	struct port_state *state = state_of(id);
	__u32 room;

	if (!state || !(state->flags & STATE_UP))
		return DROP_PORT_DOWN;
	room = state->mtu + L2_OVERHEAD + (p->in_band ? 4 : 0);
	if ((IS_XDP ? p->len : frame_len(ctx)) <= room)
		return 0;
#if !IS_XDP
	// A GSO frame fits where its segments do; TCP headers are 60 bytes at most and are not counted in gso_size.
	if (ctx->gso_size != 0) {
		struct port *out = port_of(id);
		__u32 mtu = 0;

		if (out && bpf_check_mtu(ctx, out->ifindex, &mtu, 0, BPF_MTU_CHK_SEGS) == 0)
			return 0;
	}
#endif
	return DROP_TOO_BIG;
}

// Behind the native VLAN of a trunk a second tag would be the first: the next switch would put it in another VLAN.
INLINE int emit_doubles(struct pkt *p, const struct port *out, __u16 vid)
{
	return vid == 0 && is_tag(p->ethertype) && !(out->flags & PORT_ACCESS);
}

#if !IS_XDP
INLINE void emit_count(ctx_t *ctx, struct pkt *p, struct port_counters *c)
{
	c->tx += p->segments;
	c->tx_bytes += frame_len(ctx);
	c->tx_skbs += 1;
}

// A copy for one member of a bridge domain; the frame has the form that the port wants. 1 where it went.
INLINE int emit_copy(ctx_t *ctx, struct pkt *p, __u32 id)
{
	struct port_counters *out = counters_of(id);
	struct port *row = port_of(id);
	long error;

	if (!out || !row)
		return 0;
	if (emit_refused(ctx, p, id) || emit_doubles(p, row, p->tagged ? p->vid : 0)) {
		out->flood_skipped += 1;
		return 0;
	}
	// A port that becomes a bridged one may have its egress program still.
	ctx->mark = MARK_EMITTED | p->in_port;
	error = bpf_clone_redirect(ctx, row->ifindex, 0);
	ctx->mark = 0;
	if (error) {
		out->flood_skipped += 1;
		return 0;
	}
	emit_count(ctx, p, out);
	trace_copy(p, id, p->tagged ? p->vid : 0);
	return 1;
}

// The frame itself out of p->out_port, which takes it, with tag `vid`.
INLINE int emit(ctx_t *ctx, struct pkt *p, struct port_counters *in, __u16 vid)
{
	struct port_counters *out = counters_of(p->out_port);
	struct port *row = port_of(p->out_port);

	if (row && emit_doubles(p, row, vid))
		return drop(p, DROP_DOUBLE_TAG);
	if (!row || !out || ((p->tagged || vid) && vlan_convert(ctx, p, vid)))
		return drop(p, DROP_REDIRECT);
	emit_count(ctx, p, out);
	in->handed += p->segments;
	trace_copy(p, p->out_port, p->tagged ? p->vid : 0);
	trace_end(p, TRACE_PORT);
	if (row->flags & PORT_PEER) {
		ctx->mark = 0; // the mark would follow the frame into the guest's namespace
		return bpf_redirect_peer(row->ifindex, 0);
	}
	ctx->mark = MARK_EMITTED | p->in_port;
	return bpf_redirect(row->ifindex, 0);
}
#endif
