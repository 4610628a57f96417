/* audit: what a network sees of a store, by the same scan as gc's. */
#include "base/fail.h"
#include "remote/scan.h"

struct audit {
	struct ps_sync s; /* first */
	struct ps_scan scan;
	struct ps_remote_audit_result result;
};

static void count_size(struct ps_remote_audit_result *result, uint64_t size)
{
	for (unsigned i = 0; i < PS_REMOTE_SIZES; i++)
		if (size == result->sizes[i].record_bytes) {
			result->sizes[i].count++;
			return;
		}
	result->other_sizes++;
}

static void see_listed(void *arg, const struct ps_net_listed *listed, bool named)
{
	struct audit *a = arg;
	a->result.listed++;
	a->result.bytes += listed->size;
	a->result.named += named;
	count_size(&a->result, listed->size);
}

static void count_header(struct ps_remote_audit_result *result, const struct ps_scan_pad *pad)
{
	result->ours++;
	if (pad->plan.role < PS_REMOTE_ROLES)
		result->roles[pad->plan.role]++;
	result->is_public += pad->plan.class != PS_PAD_PRIVATE;
	result->reused += pad->plan.generation > 1;
	result->writes += pad->kind == PS_SCAN_SLOT ? 1 : pad->identity.counter;
	if (pad->plan.role != PS_ROLE_HEAD || !pad->named)
		return;
	result->head = pad->identity.counter;
	result->head_bytes = pad->size;
}

/* Whose, is what a listing does not say: only the holder of the key knows. */
static void count_owner(struct ps_remote_audit_result *result, const struct ps_scan_pad *pad)
{
	if (pad->named)
		return;
	result->named += pad->kind == PS_SCAN_SLOT;
	result->unnamed += pad->kind == PS_SCAN_OURS;
	result->undecided += pad->kind == PS_SCAN_UNDECIDED;
	result->foreign += pad->kind == PS_SCAN_FOREIGN || pad->kind == PS_SCAN_GARBAGE;
}

static int see_looked(void *arg, const struct ps_scan_pad *pad)
{
	struct audit *a = arg;
	struct ps_remote_audit_result *result = &a->result;
	const ps_remote *r = a->s.r;
	result->looked++;
	count_owner(result, pad);
	if (pad->kind == PS_SCAN_GONE)
		result->vanished++;
	else if (pad->kind == PS_SCAN_GARBAGE)
		result->no_pads++;
	else if (memcmp(pad->plan.network, r->network_id, sizeof(r->network_id)) != 0)
		result->others++;
	else
		count_header(result, pad);
	return PS_OK;
}

static int show_plan(struct audit *a, bool all_headers)
{
	struct ps_index_figures f;
	struct ps_remote_plan plan = {0};
	ps_index_figures(a->s.r->index, &f);
	for (unsigned status = 0; status < PS_SLOT_STATUSES; status++)
		plan.kept_pads += f.pads[status];
	plan.requests = 2 + plan.kept_pads / 1000 + (all_headers ? plan.kept_pads : 0);
	plan.price = ps_manager_price(a->s.r, &plan, 0, 0);
	return ps_operation_plan(&a->s.op, &plan, 0, 0);
}

static int run(struct audit *a, const struct ps_remote_audit *options)
{
	for (unsigned i = 0; i < PS_REMOTE_SIZES; i++)
		a->result.sizes[i].record_bytes = ps_pad_record_bytes((uint64_t)4096 << i);
	a->scan = (struct ps_scan){.s = &a->s,
	                           .memory = options ? options->memory : 0,
	                           .all_headers = !options || !options->listing_only,
	                           .arg = a,
	                           .listed = see_listed,
	                           .looked = see_looked};
	int err = show_plan(a, a->scan.all_headers);
	if (err == PS_OK)
		err = ps_scan_run(&a->scan);
	if (err == PS_OK && !a->scan.all_headers)
		a->result.head = ps_scan_head(&a->scan)->head.counter;
	return err;
}

int ps_remote_audit(ps_remote *r, const struct ps_remote_audit *options,
                    struct ps_remote_audit_result *result)
{
	if (!result || (options && options->size != sizeof(*options)))
		return ps_fail(PS_EINVAL, "ps_remote_audit: no result, or the options have another size");
	struct audit a = {0};
	int err = sync_begin(&a.s, r, "audit", options ? options->progress : NULL,
	                     options ? options->progress_arg : NULL);
	if (err != PS_OK)
		return err;
	(void)ps_operation_fail(&a.s.op, run(&a, options));
	if (a.scan.s)
		ps_scan_done(&a.scan);
	err = sync_end(&a.s);
	if (err == PS_OK)
		*result = a.result;
	return err;
}
