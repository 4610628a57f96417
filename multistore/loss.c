#include "multistore/loss.h"

#include <stdio.h>

#include "base/fail.h"
#include "multistore/push_internal.h"
#include "remote/take.h"

enum { SENTENCE = 512 };

int ps_loss_judge(ps_remote *r, int err, ps_remote_progress_fn progress, void *arg)
{
	char missed[SENTENCE], whole[SENTENCE];
	snprintf(missed, sizeof(missed), "%s", ps_last_error_message());
	int taken = ps_remote_take(r, progress, arg);
	if (taken != PS_EROLLBACK && taken != PS_EFORK)
		return ps_fail(err, "%s", missed);
	snprintf(whole, sizeof(whole), "%s", ps_last_error_message());
	return ps_fail(taken, "%s: %s", whole, missed);
}

static bool is_kept(struct ps_memory *memory, ps_remote *r, uint64_t state)
{
	struct ps_push_manifest m;
	bool kept = false;
	ps_push_manifest_init(&m, memory);
	int err = push_read_manifest(r, PS_PUSH_MANIFEST_KEY, &m);
	for (uint32_t i = 0; i < m.state_count && !err; i++)
		kept = kept || m.states[i].info.here.interval == state;
	ps_push_manifest_done(&m);
	return kept || err;
}

int ps_loss_judge_state(struct ps_memory *memory, ps_remote *r, uint64_t state, int err,
                        ps_remote_progress_fn progress, void *arg)
{
	char sentence[SENTENCE];
	int judged = ps_loss_judge(r, err, progress, arg);
	if (judged != err)
		return judged;
	snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	if (!is_kept(memory, r, state))
		return ps_fail(PS_ESUPERSEDED, "state %llu was dropped by a later push while it was read: %s",
		               (unsigned long long)state, sentence);
	return ps_fail(err, "%s", sentence);
}
