// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// One source, two hooks: what differs between struct __sk_buff (tcx) and struct xdp_md (XDP) is here and nowhere else.
#pragma once
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define INLINE static __always_inline
// Deeper stages are verified alone: weak, else clang drops an argument that it finds unused.
#define STAGE __attribute__((noinline, weak)) int

#define ETH_8021Q 0x8100
#define ETH_8021AD 0x88a8
#define ETH_ARP 0x0806
#define ETH_IPV4 0x0800
#define ETH_IPV6 0x86dd

#ifdef HOOK_XDP
typedef struct xdp_md ctx_t;
#define IS_XDP 1
#define IN_IFINDEX(ctx) ((ctx)->ingress_ifindex)
INLINE __u32 frame_len(ctx_t *ctx) { return ctx->data_end - ctx->data; }
INLINE __u32 frame_segments(ctx_t *ctx) { return 1; }
INLINE int frame_pull(ctx_t *ctx, __u32 len) { return 0; }
#else
typedef struct __sk_buff ctx_t;
#define IS_XDP 0
// linux-libc-dev of older releases lacks these two verdicts of tcx (Linux 6.6, include/uapi/linux/bpf.h).
#define VERDICT_PASS 0
#define VERDICT_DROP 2
#define IN_IFINDEX(ctx) ((ctx)->ingress_ifindex)
INLINE __u32 frame_len(ctx_t *ctx) { return ctx->len; }
// A tap gives gso_size without gso_segs; headers are counted as 54 bytes then, which is off by one segment at most.
INLINE __u32 frame_segments(ctx_t *ctx)
{
	__u32 segments = ctx->gso_segs, size = ctx->gso_size;

	if (segments == 0 && size != 0 && ctx->len > 54)
		segments = (ctx->len - 54 + size - 1) / size;
	return segments ? segments : 1;
}
INLINE int frame_pull(ctx_t *ctx, __u32 len) { return bpf_skb_pull_data(ctx, len); }
#endif

#define DATA(ctx) ((void *)(long)(ctx)->data)
#define DATA_END(ctx) ((void *)(long)(ctx)->data_end)

// skb->mark is ours inside one namespace.
#define MARK_PORT 0xffff
#define MARK_JUDGED (1 << 16)  // policy is done: frames that go up to be forwarded
#define MARK_STEERED (1 << 17)
#define MARK_EMITTED (1 << 18) // by us: the egress program lets it go
