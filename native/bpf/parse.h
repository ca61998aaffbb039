// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Ethernet and one 802.1Q tag. At tcx the kernel has moved the tag to vlan_tci (net/core/dev.c, skb_vlan_untag), under
// PROG_TEST_RUN and at XDP it is in band: both forms are taken.
#pragma once
#include "drop.h"

struct eth_hdr {
	__u8 dst[6];
	__u8 src[6];
	__be16 type;
};
struct vlan_hdr {
	__be16 tci;
	__be16 type;
};

INLINE int is_tag(__u16 ethertype) { return ethertype == ETH_8021Q || ethertype == ETH_8021AD; }

// Half a tag could not be taken off, nor become the first one.
INLINE int parse_second_tag(ctx_t *ctx, struct pkt *p)
{
	void *tag = DATA(ctx) + p->l3;

	return is_tag(p->ethertype) && tag + sizeof(struct vlan_hdr) > DATA_END(ctx) ? DROP_BAD_FRAME : 0;
}

// 0, or the reason to drop it. Fills in the addresses, the tag, the EtherType and the offset of what follows.
INLINE int parse_ethernet(ctx_t *ctx, struct pkt *p)
{
	struct eth_hdr *eth = DATA(ctx);
	struct vlan_hdr *tag;

	if ((void *)(eth + 1) > DATA_END(ctx))
		return DROP_BAD_FRAME;
	p->dmac = mac_at(eth->dst);
	p->smac = mac_at(eth->src);
	p->ethertype = bpf_ntohs(eth->type);
	p->l3 = sizeof(*eth);
#if !IS_XDP
	if (ctx->vlan_present) {
		if (bpf_ntohs(ctx->vlan_proto) != ETH_8021Q)
			return DROP_VLAN_PROTOCOL;
		p->tagged = 1;
		p->vid = ctx->vlan_tci & 0xfff;
		p->priority = ctx->vlan_tci & 0xf000;
		return parse_second_tag(ctx, p);
	}
#endif
	if (p->ethertype == ETH_8021AD)
		return DROP_VLAN_PROTOCOL;
	if (p->ethertype != ETH_8021Q)
		return 0;
	tag = (void *)(eth + 1);
	if ((void *)(tag + 1) > DATA_END(ctx))
		return DROP_BAD_FRAME;
	p->tagged = 1;
	p->in_band = 1;
	p->vid = bpf_ntohs(tag->tci) & 0xfff;
	p->priority = bpf_ntohs(tag->tci) & 0xf000;
	p->ethertype = bpf_ntohs(tag->type);
	p->l3 = sizeof(*eth) + sizeof(*tag);
	return parse_second_tag(ctx, p);
}
