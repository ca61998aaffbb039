// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// What the benchmarks measure against: the least that a program can do to move a frame, a generator of frames and a
// sink that counts them. Not part of the switch.
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "Dual MIT/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u32);
} way SEC(".maps"); // ifindex in -> ifindex out

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u32);
} xdp_way SEC(".maps"); // ifindex in -> device out

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} sunk SEC(".maps");

#define STRETCH 512
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} stamps SEC(".maps"); // when each STRETCH frames had come

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} sequence SEC(".maps");

const volatile __u32 destinations = 1; // of generated frames: 02:00:00:01:00:00 and up, 10.64.0.9, 10.64.1.9 and up
const volatile __u32 out_ifindex;      // where they go
const volatile __u8 router_mac[6];     // what generated packets are sent to

SEC("tc")
int bare_peer(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ingress_ifindex, *out = bpf_map_lookup_elem(&way, &ifindex);

	return out ? bpf_redirect_peer(*out, 0) : 2;
}

SEC("xdp")
int bare_xdp(struct xdp_md *ctx)
{
	return bpf_redirect_map(&xdp_way, ctx->ingress_ifindex, 0);
}

SEC("xdp")
int sink(struct xdp_md *ctx)
{
	__u32 zero = 0, row;
	__u64 *count = bpf_map_lookup_elem(&sunk, &zero), *stamp;

	if (!count || ++*count % STRETCH != 0)
		return XDP_DROP;
	row = *count / STRETCH % 1024;
	stamp = bpf_map_lookup_elem(&stamps, &row);
	if (stamp)
		*stamp = bpf_ktime_get_ns();
	return XDP_DROP;
}

// A veth takes redirected frames only where it has a program (drivers/net/veth.c).
SEC("xdp")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

static __always_inline __u32 next_destination(void)
{
	__u32 zero = 0;
	__u64 *next = bpf_map_lookup_elem(&sequence, &zero);

	return next ? (*next)++ % destinations : 0;
}

// Frames of a live run come back as they were left: the header is written whole each time. One sender, tag 10.
SEC("xdp")
int generate(struct xdp_md *ctx)
{
	__u8 *frame = (void *)(long)ctx->data;
	__u32 index = next_destination();

	if (frame + 18 > (__u8 *)(long)ctx->data_end)
		return XDP_ABORTED;
	*(__u32 *)frame = bpf_htonl(0x02000001);
	*(__u16 *)(frame + 4) = bpf_htons(index);
	*(__u32 *)(frame + 6) = bpf_htonl(0x02000000);
	*(__u16 *)(frame + 10) = bpf_htons(1);
	*(__u32 *)(frame + 12) = bpf_htonl(0x8100000a);
	*(__u16 *)(frame + 16) = bpf_htons(0x88b5);
	return bpf_redirect(out_ifindex, 0);
}

// UDP from 192.0.2.1 without a tag, to be routed.
SEC("xdp")
int generate_ipv4(struct xdp_md *ctx)
{
	__u8 *frame = (void *)(long)ctx->data;
	__u32 to = 0x0a400009 + (next_destination() << 8), sum;

	if (frame + 34 > (__u8 *)(long)ctx->data_end)
		return XDP_ABORTED;
	for (int i = 0; i < 6; i++)
		frame[i] = router_mac[i];
	*(__u32 *)(frame + 6) = bpf_htonl(0x02000000);
	*(__u32 *)(frame + 10) = bpf_htonl(0x00010800);
	*(__u32 *)(frame + 14) = bpf_htonl(0x45000032);
	*(__u32 *)(frame + 18) = bpf_htonl(0x00004000);
	*(__u32 *)(frame + 26) = bpf_htonl(0xc0000201);
	*(__u32 *)(frame + 30) = bpf_htonl(to);
	sum = 0x4500 + 0x0032 + 0x4000 + 0x4011 + 0xc000 + 0x0201 + (to >> 16) + (to & 0xffff);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	*(__u32 *)(frame + 22) = bpf_htonl(0x40110000 | (~sum & 0xffff));
	return bpf_redirect(out_ifindex, 0);
}
