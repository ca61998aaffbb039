// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Every frame's end has a name and a counter, counted where it happens.
#pragma once
#include "packet.h"

const volatile __u8 trace_on = 0;

INLINE struct trace *trace_of(struct pkt *p)
{
	__u32 key = p->in_port;

	return trace_on ? bpf_map_lookup_elem(&trace, &key) : 0;
}

INLINE void trace_begin(struct pkt *p)
{
	struct trace *t = trace_of(p);

	if (!t)
		return;
	t->action = TRACE_NONE;
	t->copies = 0;
}

INLINE void trace_copy(struct pkt *p, __u16 port, __u16 vid)
{
	struct trace *t = trace_of(p);
	__u16 n;

	if (!t)
		return;
	n = t->copies;
	if (n >= TRACE_COPIES)
		return;
	t->port[n & (TRACE_COPIES - 1)] = port;
	t->vid[n & (TRACE_COPIES - 1)] = vid;
	t->copies = n + 1;
}

INLINE void trace_end(struct pkt *p, __u16 action)
{
	struct trace *t = trace_of(p);

	if (!t)
		return;
	t->action = action;
	t->reason = p->reason;
	t->in_port = p->in_port;
}

INLINE int decide_drop(struct pkt *p, __u16 reason)
{
	p->reason = reason;
	return V_DROP;
}

#if !IS_XDP
STAGE drop(struct pkt *p, __u32 reason)
{
	struct port_counters *c;

	if (!p)
		return VERDICT_DROP;
	c = counters_of(p->in_port);
	p->reason = reason;
	if (c)
		c->drop[reason & (DROP_REASONS - 1)] += p->segments;
	trace_end(p, TRACE_DROP);
	return VERDICT_DROP;
}
#endif
