// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// A host on a trunk, without 802.1Q devices: for each VLAN a veth pair v10 / v10p in the host's namespace, tagged on
// the way from v10p to eth0, untagged on the way back. Part of the lab, not of the switch.
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} port_of_vid SEC(".maps"); // VLAN id -> ifindex of v10p; 0 -> ifindex of eth0

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} vid_of_port SEC(".maps"); // ifindex of v10p -> VLAN id

SEC("tc")
int trunk_in(struct __sk_buff *skb)
{
	__u32 vid = skb->vlan_present ? skb->vlan_tci & 0xfff : 0, *port;

	if (vid == 0)
		return 0;
	port = bpf_map_lookup_elem(&port_of_vid, &vid);
	if (!port || bpf_skb_vlan_pop(skb))
		return 2;
	return bpf_redirect(*port, 0);
}

SEC("tc")
int trunk_out(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ingress_ifindex, zero = 0;
	__u32 *vid = bpf_map_lookup_elem(&vid_of_port, &ifindex), *uplink = bpf_map_lookup_elem(&port_of_vid, &zero);

	if (!vid || !uplink || bpf_skb_vlan_push(skb, bpf_htons(0x8100), *vid))
		return 2;
	return bpf_redirect(*uplink, 0);
}

// The far end of a veth that frames are redirected to by XDP needs a program of its own (drivers/net/veth.c).
SEC("xdp")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

// On the way out of a device: nothing leaves it.
SEC("tc")
int mute(struct __sk_buff *skb)
{
	return 2;
}

// A storm, by a live PROG_TEST_RUN: the frame that it is given goes out again and again, its words at these offsets
// (0: none) random under a mask. `folded`: the upper half undoes what the lower does to a checksum.
const volatile __u32 storm_out;
const volatile __u16 storm_at[4];
const volatile __u32 storm_mask[4];
const volatile __u8 storm_folded;

SEC("xdp")
int storm(struct xdp_md *ctx)
{
	__u8 *frame = (void *)(long)ctx->data;
	__u32 fresh = bpf_get_prandom_u32();

	if (storm_folded)
		fresh = (fresh & 0xffff) | ~fresh << 16;
	for (int i = 0; i < 4; i++) {
		__u32 *word = (void *)(frame + storm_at[i]);

		if (storm_at[i] == 0)
			continue;
		if ((void *)(word + 1) > (void *)(long)ctx->data_end)
			return XDP_ABORTED;
		*word = (*word & ~storm_mask[i]) | (fresh & storm_mask[i]);
	}
	return bpf_redirect(storm_out, 0);
}
