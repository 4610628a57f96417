/* Everything that a network shows under its list: which of it something names, and what the headers of the
 * rest say. Memory is bounded: names are compared in as many passes as that takes. */
#ifndef PS_SCAN_H
#define PS_SCAN_H

#include "remote/named.h"
#include "remote/serial_set.h"

enum ps_scan_kind {
	PS_SCAN_GONE,      /* listed, and not there (any more) */
	PS_SCAN_GARBAGE,   /* no pad, or not authentic */
	PS_SCAN_FOREIGN,   /* a pad that this key does not derive, or of another network */
	PS_SCAN_UNDECIDED, /* of this network; a key that only reads cannot tell whose */
	PS_SCAN_SLOT,      /* ours, and a slot (slot.h): nothing names it, its place says whether it counts */
	PS_SCAN_OURS       /* this key derives its name from the serial that it signs */
};

struct ps_scan_pad {
	struct ps_pad_name name;
	uint64_t size; /* as listed */
	bool named;
	enum ps_scan_kind kind;
	/* Of what is authentic. */
	struct ps_pad_plan plan;
	struct ps_pad_identity identity;
	uint32_t payload;
};

/* From zeroed memory. */
struct ps_scan {
	/* The caller's. */
	struct ps_sync *s;
	uint64_t memory;  /* for names; 0: 64 MiB */
	bool all_headers; /* also of what is named */
	void *arg;
	void (*listed)(void *arg, const struct ps_net_listed *listed, bool named);
	int (*looked)(void *arg, const struct ps_scan_pad *pad); /* a listing may tell of one twice */
	/* Its own. */
	struct sync_head newest; /* if it is not the last one used here */
	struct ps_serial_set names;
	unsigned first, end; /* first bytes of names, half-open, of this pass */
	struct scan_page *page;
	struct ps_pad_header_look *looks;
	struct ps_net_listed *wanted;
	bool *wanted_named;
	size_t count; /* of wanted */
	uint64_t passed;
};

/* Fetches, verifies and judges the newest head; the anchor is at it. Begins with it, and does it anew as
 * often as the head moves. */
int ps_scan_run(struct ps_scan *scan) __attribute__((warn_unused_result));
/* As ps_named_each, with the local index as it is at one moment; the newest head is that of the scan, or a
 * later one. fn may be told of a pad that is not named any more. */
int ps_scan_named(struct ps_scan *scan, ps_named_fn fn, void *arg) __attribute__((warn_unused_result));
/* *moved: the network has another head than the scan's by now. */
int ps_scan_look(struct ps_scan *scan, bool *moved) __attribute__((warn_unused_result));
/* Takes the newest head. */
int ps_scan_take_head(struct ps_scan *scan) __attribute__((warn_unused_result));
const struct sync_head *ps_scan_head(const struct ps_scan *scan);
void ps_scan_done(struct ps_scan *scan);

#endif
