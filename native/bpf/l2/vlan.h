// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Which bridge domain a frame belongs to, and the tag that it leaves with.
#pragma once
#include "../parse.h"

INLINE __u16 vlan_entry(__u32 port_id, __u16 vid)
{
	struct port_vlan *row = bpf_map_lookup_elem(&port_vlan, &port_id);

	return row ? row->entry[vid & (MAX_VLANS - 1)] : 0;
}

// 0 with p->bd set, or the reason to drop it. VLAN 0 is a priority tag: the frame counts as untagged (802.1Q 6.9).
INLINE int vlan_admit(struct pkt *p, const struct port *in)
{
	__u16 vid = p->vid, entry;

	if (p->tagged && vid != 0) {
		if (in->flags & PORT_ACCESS)
			return DROP_TAGGED_ON_ACCESS;
	} else {
		vid = in->native;
		if (vid == 0)
			return DROP_NO_NATIVE;
	}
	entry = vlan_entry(p->in_port, vid);
	if (!(entry & VLAN_MEMBER))
		return DROP_NOT_MEMBER;
	p->bd = entry & VLAN_BD;
	return 0;
}

// The tag that a frame of this bridge domain leaves the port with: 0 for none, -1 where the port is not in it.
INLINE int vlan_tag_out(__u32 port_id, __u16 bd)
{
	__u16 entry = vlan_entry(port_id, bd);

	if (!(entry & VLAN_MEMBER))
		return -1;
	return entry & VLAN_UNTAGGED ? 0 : bd;
}

#if IS_XDP
// Makes the frame carry tag `vid` (0: none), in band. Non-zero: refused, and nothing of the frame has changed.
INLINE int vlan_convert(ctx_t *ctx, struct pkt *p, __u16 vid)
{
	int longer = (vid != 0) - p->tagged;
	struct eth_hdr *eth;
	struct vlan_hdr *tag;

	if (vid == p->vid && longer == 0)
		return 0;
	if (longer != 0 && bpf_xdp_adjust_head(ctx, -longer * (int)sizeof(*tag)))
		return -1;
	p->l3 += longer * (int)sizeof(*tag);
	eth = DATA(ctx);
	if ((void *)(eth + 1) > DATA_END(ctx))
		return -1;
	mac_put(eth->dst, p->dmac);
	mac_put(eth->src, p->smac);
	if (vid == 0)
		return 0;
	tag = (void *)(eth + 1);
	if ((void *)(tag + 1) > DATA_END(ctx))
		return -1;
	eth->type = bpf_htons(ETH_8021Q);
	tag->tci = bpf_htons(p->priority | vid);
	tag->type = bpf_htons(p->ethertype);
	return 0;
}
#else
// Makes the frame carry tag `vid` (0: none). Negative: the kernel refused.
INLINE int vlan_convert(ctx_t *ctx, struct pkt *p, __u16 vid)
{
	int err = 0;

	if (p->tagged && p->vid == vid && vid != 0)
		return 0;
	if (p->tagged) {
		err = bpf_skb_vlan_pop(ctx);
		if (err)
			return err;
		if (p->in_band)
			p->l3 -= sizeof(struct vlan_hdr);
		p->tagged = 0;
		p->in_band = 0;
		p->vid = 0;
	}
	if (vid != 0) {
		err = bpf_skb_vlan_push(ctx, bpf_htons(ETH_8021Q), p->priority | vid);
		if (err)
			return err;
		p->tagged = 1;
		p->vid = vid;
	}
	return 0;
}
#endif
