/* The machines that a head lists, and taking one off the list that never comes back. */
#include <sodium.h>
#include <stdio.h>

#include "base/fail.h"
#include "remote/sync_internal.h"

static void tell_machine(const struct ps_sync *s, const struct ps_head_machine *machine,
                         struct ps_remote_machine *told)
{
	const struct ps_head *head = &s->base.head;
	*told = (struct ps_remote_machine){.last = machine->last,
	                                   .self = memcmp(machine->id, s->r->machine.id, PS_MACHINE) == 0,
	                                   .unaware = ps_head_kept(head, machine->id) > 0};
	(void)snprintf(told->name, sizeof(told->name), "%s", machine->name);
	(void)sodium_bin2hex(told->id, sizeof(told->id), machine->id, PS_MACHINE);
	static_assert(sizeof(told->id) == 2 * PS_MACHINE + 1, "an id fits");
}

static int tell_all(struct ps_sync *s, ps_remote_machine_fn fn, void *arg)
{
	int err = s->base.there ? PS_OK : ps_fail(PS_ENOTFOUND, "no head was used here yet");
	for (uint32_t i = 0; err == PS_OK && i < s->base.head.machines_count; i++) {
		struct ps_remote_machine told;
		tell_machine(s, &s->base.head.machines[i], &told);
		if (fn(arg, &told) != 0)
			err = ps_fail(PS_ECANCELED, "machines: canceled by the caller");
	}
	return err;
}

int ps_remote_machines(ps_remote *r, ps_remote_machine_fn fn, void *arg)
{
	struct ps_sync s = {.r = r};
	if (!fn)
		return ps_fail(PS_EINVAL, "ps_remote_machines: an argument is NULL");
	int err = ps_operation_begin(&s.op, r, "machines", NULL, 0, NULL, NULL);
	if (err != PS_OK)
		return err;
	s.op.progress = NULL;
	s.memory = ps_index_memory(r->index);
	err = sync_load(&s);
	if (err == PS_OK)
		err = tell_all(&s, fn, arg);
	(void)ps_operation_fail(&s.op, err);
	sync_forget_loaded(&s);
	return ps_operation_end(&s.op);
}

/* ---- dropping ---- */

static bool is_meant(const struct ps_head_machine *machine, const char *wanted)
{
	char id[2 * PS_MACHINE + 1];
	(void)sodium_bin2hex(id, sizeof(id), machine->id, PS_MACHINE);
	return strcmp(machine->name, wanted) == 0 || strcmp(id, wanted) == 0;
}

int sync_drop_machine(struct ps_sync *s, struct ps_head *next)
{
	uint32_t found = 0, place = 0;
	for (uint32_t i = 0; i < next->machines_count; i++)
		if (is_meant(&next->machines[i], s->drops)) {
			found++;
			place = i;
		}
	if (found != 1)
		return ps_fail(found > 0 ? PS_EINVAL : PS_ENOTFOUND,
		               found > 0 ? "several machines are called \"%.64s\": say the id of one"
		                         : "the head lists no machine \"%.64s\"",
		               s->drops);
	if (memcmp(next->machines[place].id, s->r->machine.id, PS_MACHINE) == 0)
		return ps_fail(PS_EINVAL, "\"%.64s\" is this machine: it stays in the list", s->drops);
	return ps_head_drop_machine(next, place);
}
