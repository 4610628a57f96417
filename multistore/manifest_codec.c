/* A manifest's bytes. All of it was opened by remote/; what is checked here is that it says something that
 * can be: a state's runs join, a run's packs are in order, nothing is named that is not there. */
#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "multistore/manifest.h"
#include "multistore/manifest_format.h"

static int damaged(const char *what)
{
	return ps_fail(PS_ECORRUPT, "the manifest (\"%s\") %s", PS_PUSH_MANIFEST_KEY, what);
}

/* ---- encoding ---- */

static uint8_t *put(uint8_t *at, const void *bytes, size_t len)
{
	memcpy(at, bytes, len);
	return at + len;
}

static uint8_t *put_pack(uint8_t *at, const struct ps_push_manifest_pack *p)
{
	struct manifest_pack_bytes b = {.number = ps_set32(p->about.number),
	                                .flags = ps_set32((p->continues ? MANIFEST_PACK_CONTINUES : 0) |
	                                                  (p->open ? MANIFEST_PACK_OPEN : 0)),
	                                .upto = ps_set64(p->about.upto),
	                                .first = ps_set64(p->first),
	                                .last = ps_set64(p->last),
	                                .bytes = ps_set64(p->bytes)};
	memcpy(b.mark, p->about.mark, sizeof(b.mark));
	return put(at, &b, sizeof(b));
}

static uint8_t *put_run(uint8_t *at, const struct ps_push_manifest_run *r)
{
	struct manifest_run_bytes b = {.since = ps_set64(r->since),
	                               .upto = ps_set64(r->upto),
	                               .checkpoint = ps_set64(r->checkpoint),
	                               .objects = ps_set64(r->objects),
	                               .gone = ps_set64(r->gone),
	                               .contents = ps_set64(r->contents),
	                               .packs = ps_set32(r->packs)};
	return put(at, &b, sizeof(b));
}

static uint8_t *put_state(uint8_t *at, const struct ps_push_manifest_state *s)
{
	struct manifest_state_bytes b = {.interval = ps_set64(s->info.here.interval),
	                                 .checkpoint = ps_set64(s->info.here.checkpoint),
	                                 .commit = ps_set64(s->info.commit),
	                                 .time_ns = ps_set64(s->time_ns),
	                                 .objects = ps_set64(s->info.objects),
	                                 .live_bytes = ps_set64(s->info.live_bytes),
	                                 .slots = ps_set64(s->info.slots),
	                                 .crashes = ps_set64(s->info.crashes),
	                                 .runs = ps_set32(s->runs)};
	memcpy(b.mark, s->mark, sizeof(b.mark));
	return put(at, &b, sizeof(b));
}

static uint64_t bytes_of(uint64_t packs, uint64_t runs, uint64_t states, uint64_t numbers)
{
	return sizeof(struct manifest_head_bytes) + packs * sizeof(struct manifest_pack_bytes) +
	       runs * sizeof(struct manifest_run_bytes) + states * sizeof(struct manifest_state_bytes) +
	       numbers * sizeof(ps_le32);
}

static uint8_t *put_numbers(uint8_t *at, const struct ps_push_manifest_state *s)
{
	for (uint32_t i = 0; i < s->runs; i++) {
		ps_le32 number = ps_set32(s->run[i]);
		at = put(at, &number, sizeof(number));
	}
	return at;
}

static void put_log(const struct ps_log_place *log, struct manifest_head_bytes *head)
{
	head->log_epoch = ps_set64(log->at.epoch);
	head->log_first = ps_set64(log->at.n);
	memcpy(head->log_before, log->before, sizeof(head->log_before));
	memcpy(head->log_name, log->name.bytes, sizeof(head->log_name));
}

static void put_hold(const struct ps_push_hold *hold, struct manifest_head_bytes *head)
{
	memcpy(head->line, hold->line, sizeof(head->line));
	memcpy(head->mark, hold->mark, sizeof(head->mark));
	memcpy(head->holder, hold->holder, sizeof(head->holder));
	memcpy(head->text, hold->text, strnlen(hold->text, sizeof(head->text) - 1));
	head->epoch = ps_set64(hold->epoch);
	head->since_ns = ps_set64(hold->since_ns);
}

int ps_push_manifest_encode(const struct ps_push_manifest *m, uint8_t **bytes, size_t *len)
{
	uint32_t numbers = 0;
	for (uint32_t i = 0; i < m->state_count; i++)
		numbers += m->states[i].runs;
	uint64_t size = bytes_of(m->pack_count, m->run_count, m->state_count, numbers);
	if (size > PS_PUSH_MANIFEST_BYTES_MAX)
		return ps_fail(PS_ERANGE, "a manifest of %llu bytes: larger packs make it shorter",
		               (unsigned long long)size);
	uint8_t *at = ps_memory_alloc(m->memory, (size_t)size);
	if (!at)
		return ps_fail(PS_ENOMEM, "no memory for a manifest of %llu bytes", (unsigned long long)size);
	struct manifest_head_bytes head = {.version = ps_set32(MANIFEST_VERSION),
	                                   .packs = ps_set32(m->pack_count),
	                                   .runs = ps_set32(m->run_count),
	                                   .states = ps_set32(m->state_count),
	                                   .numbers = ps_set32(numbers)};
	memcpy(head.magic, manifest_magic, sizeof(head.magic));
	put_log(&m->log, &head);
	put_hold(&m->hold, &head);
	*bytes = at;
	*len = (size_t)size;
	at = put(at, &head, sizeof(head));
	for (uint32_t i = 0; i < m->pack_count; i++)
		at = put_pack(at, &m->packs[i]);
	for (uint32_t i = 0; i < m->run_count; i++)
		at = put_run(at, &m->runs[i]);
	for (uint32_t i = 0; i < m->state_count; i++)
		at = put_state(at, &m->states[i]);
	for (uint32_t i = 0; i < m->state_count; i++)
		at = put_numbers(at, &m->states[i]);
	return PS_OK;
}

/* ---- decoding ---- */

struct counts {
	uint32_t packs, runs, states, numbers;
};

static int decode_log(const struct manifest_head_bytes *head, struct ps_log_place *log)
{
	log->at = (struct ps_remote_slot_at){ps_get64(head->log_epoch), ps_get64(head->log_first)};
	memcpy(log->before, head->log_before, sizeof(log->before));
	memcpy(log->name.bytes, head->log_name, sizeof(log->name.bytes));
	bool begun = log->at.epoch > 0 && log->at.n > 0 && log->at.n <= INT64_MAX;
	if (!begun && (log->at.epoch > 0 || log->at.n > 0 || ps_log_place_there(log)))
		return damaged("has an impossible log");
	return PS_OK;
}

/* Shown on terminals: graphic characters and spaces, then zeros. */
static bool is_text(const uint8_t text[PS_HOLDER_TEXT])
{
	size_t len = strnlen((const char *)text, PS_HOLDER_TEXT);
	for (size_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return len < PS_HOLDER_TEXT && ps_all_zero(text + len, PS_HOLDER_TEXT - len);
}

static int decode_hold(const struct manifest_head_bytes *b, struct ps_push_hold *hold)
{
	*hold = (struct ps_push_hold){.epoch = ps_get64(b->epoch), .since_ns = ps_get64(b->since_ns)};
	memcpy(hold->line, b->line, sizeof(hold->line));
	memcpy(hold->mark, b->mark, sizeof(hold->mark));
	memcpy(hold->holder, b->holder, sizeof(hold->holder));
	memcpy(hold->text, b->text, sizeof(hold->text));
	if (ps_all_zero(b->line, sizeof(b->line)) || ps_all_zero(b->mark, sizeof(b->mark)) ||
	    ps_all_zero(b->holder, sizeof(b->holder)) || !is_text(b->text))
		return damaged("has no holder that can be");
	if (hold->epoch - 1 >= PS_EPOCH_MAX)
		return damaged("has an impossible epoch");
	return PS_OK;
}

static int decode_head(const uint8_t *bytes, size_t len, struct counts *c, struct ps_push_manifest *m)
{
	struct manifest_head_bytes head;
	if (len < sizeof(head) || len > PS_PUSH_MANIFEST_BYTES_MAX)
		return damaged("has an impossible length");
	memcpy(&head, bytes, sizeof(head));
	if (memcmp(head.magic, manifest_magic, sizeof(head.magic)) != 0)
		return damaged("is none");
	if (ps_get32(head.version) != MANIFEST_VERSION)
		return ps_fail(PS_EVERSION, "the manifest is of version %u; this program knows %d",
		               ps_get32(head.version), MANIFEST_VERSION);
	*c = (struct counts){ps_get32(head.packs), ps_get32(head.runs), ps_get32(head.states),
	                     ps_get32(head.numbers)};
	if (c->runs > PS_PUSH_MANIFEST_RUNS_MAX || c->states > PS_PUSH_MANIFEST_STATES_MAX ||
	    c->states == 0 || !ps_all_zero(head.reserved, sizeof(head.reserved)) ||
	    bytes_of(c->packs, c->runs, c->states, c->numbers) != len)
		return damaged("has another length than it says");
	int err = decode_hold(&head, &m->hold);
	return err ? err : decode_log(&head, &m->log);
}

static int decode_pack(const uint8_t *at, const struct ps_push_manifest_run *run,
                       struct ps_push_manifest_pack *p)
{
	struct manifest_pack_bytes b;
	memcpy(&b, at, sizeof(b));
	uint32_t flags = ps_get32(b.flags);
	*p = (struct ps_push_manifest_pack){
	    .about = {.number = ps_get32(b.number), .since = run->since, .upto = ps_get64(b.upto)},
	    .first = ps_get64(b.first),
	    .last = ps_get64(b.last),
	    .continues = flags & MANIFEST_PACK_CONTINUES,
	    .open = flags & MANIFEST_PACK_OPEN,
	    .bytes = ps_get64(b.bytes)};
	memcpy(p->about.mark, b.mark, PS_PACK_MARK);
	if ((flags & ~(uint32_t)MANIFEST_PACK_FLAGS) || ps_all_zero(b.mark, sizeof(b.mark)) ||
	    p->first == PS_ID_NONE || p->first > p->last || p->about.upto <= run->since ||
	    p->about.upto > run->upto || p->bytes > PS_PACK_BYTES_MAX || p->bytes < PS_PACK_TAIL)
		return damaged("has an impossible pack");
	return PS_OK;
}

/* A pack begins behind the one before, or within its last object. */
static bool follows(const struct ps_push_manifest_pack *p, const struct ps_push_manifest_pack *before)
{
	if (p->continues)
		return before && before->open && before->last == p->first;
	return !before || (!before->open && ps_slot_of(before->last) < ps_slot_of(p->first));
}

static int decode_packs(const uint8_t *at, uint32_t total, struct ps_push_manifest_run *run,
                        struct ps_push_manifest *m)
{
	run->first_pack = m->pack_count;
	if (run->packs > total - m->pack_count || (run->packs == 0) != (run->objects + run->gone == 0))
		return damaged("has a run without its packs");
	for (uint32_t i = 0; i < run->packs; i++) {
		struct ps_push_manifest_pack pack;
		int err =
		    decode_pack(at + (size_t)m->pack_count * sizeof(struct manifest_pack_bytes), run, &pack);
		if (err)
			return err;
		if (!follows(&pack, i ? &m->packs[m->pack_count - 1] : NULL))
			return damaged("has packs that are not in order");
		run->bytes += pack.bytes;
		err = ps_push_manifest_add_pack(m, &pack);
		if (err)
			return err;
	}
	if (run->packs && m->packs[m->pack_count - 1].open)
		return damaged("has a run that ends within an object");
	return PS_OK;
}

static int decode_run(const uint8_t *at, struct ps_push_manifest_run *r)
{
	struct manifest_run_bytes b;
	memcpy(&b, at, sizeof(b));
	*r = (struct ps_push_manifest_run){.since = ps_get64(b.since),
	                                   .upto = ps_get64(b.upto),
	                                   .checkpoint = ps_get64(b.checkpoint),
	                                   .packs = ps_get32(b.packs),
	                                   .objects = ps_get64(b.objects),
	                                   .gone = ps_get64(b.gone),
	                                   .contents = ps_get64(b.contents)};
	if (r->since >= r->upto || !ps_all_zero(b.reserved, sizeof(b.reserved)) || r->objects > PS_SIZE_MAX ||
	    r->gone > PS_SIZE_MAX)
		return damaged("has an impossible run");
	return PS_OK;
}

static int decode_runs(const uint8_t *bytes, const struct counts *c, struct ps_push_manifest *m)
{
	const uint8_t *packs = bytes + sizeof(struct manifest_head_bytes);
	const uint8_t *runs = packs + (size_t)c->packs * sizeof(struct manifest_pack_bytes);
	for (uint32_t i = 0; i < c->runs; i++) {
		struct ps_push_manifest_run run;
		int err = decode_run(runs + i * sizeof(struct manifest_run_bytes), &run);
		if (!err)
			err = decode_packs(packs, c->packs, &run, m);
		if (!err)
			err = ps_push_manifest_add_run(m, &run);
		if (err)
			return err;
	}
	return m->pack_count == c->packs ? PS_OK : damaged("has packs without a run");
}

/* The runs of a state join, from 0 up to it. */
static int check_state(const struct ps_push_manifest *m, const struct ps_push_manifest_state *s)
{
	uint64_t at = 0;
	for (uint32_t i = 0; i < s->runs; i++) {
		if (s->run[i] >= m->run_count || m->runs[s->run[i]].since != at)
			return damaged("has a state whose runs do not join");
		at = m->runs[s->run[i]].upto;
	}
	const struct ps_push_manifest_state *newer = m->state_count ? &m->states[m->state_count - 1] : NULL;
	if (at != s->info.here.interval || s->runs == 0)
		return damaged("has a state whose runs end elsewhere");
	if (newer && newer->info.here.interval <= at)
		return damaged("has states that are not in order");
	return PS_OK;
}

static int decode_state(const uint8_t *at, struct ps_push_manifest_state *s)
{
	struct manifest_state_bytes b;
	memcpy(&b, at, sizeof(b));
	*s = (struct ps_push_manifest_state){
	    .info = {.here = {.interval = ps_get64(b.interval), .checkpoint = ps_get64(b.checkpoint)},
	             .commit = ps_get64(b.commit),
	             .objects = ps_get64(b.objects),
	             .live_bytes = ps_get64(b.live_bytes),
	             .slots = ps_get64(b.slots),
	             .crashes = ps_get64(b.crashes)},
	    .time_ns = ps_get64(b.time_ns),
	    .runs = ps_get32(b.runs)};
	memcpy(s->mark, b.mark, PS_PACK_MARK);
	if (ps_all_zero(b.mark, sizeof(b.mark)) || !ps_all_zero(b.reserved, sizeof(b.reserved)) ||
	    s->runs > PS_STATE_RUNS_MAX)
		return damaged("has an impossible state");
	return PS_OK;
}

static int decode_states(const uint8_t *at, const struct counts *c, struct ps_push_manifest *m)
{
	const uint8_t *numbers = at + c->states * sizeof(struct manifest_state_bytes);
	uint32_t left = c->numbers;
	for (uint32_t i = 0; i < c->states; i++) {
		struct ps_push_manifest_state state;
		int err = decode_state(at + i * sizeof(struct manifest_state_bytes), &state);
		if (err)
			return err;
		if (state.runs > left)
			return damaged("names fewer runs than its states have");
		for (uint32_t k = 0; k < state.runs; k++, numbers += sizeof(ps_le32)) {
			ps_le32 number;
			memcpy(&number, numbers, sizeof(number));
			state.run[k] = ps_get32(number);
		}
		left -= state.runs;
		err = check_state(m, &state);
		if (!err)
			err = ps_push_manifest_add_state(m, &state);
		if (err)
			return err;
	}
	return left == 0 ? PS_OK : damaged("names more runs than its states have");
}

int ps_push_manifest_decode(const uint8_t *bytes, size_t len, struct ps_push_manifest *m)
{
	struct counts c = {0};
	int err = decode_head(bytes, len, &c, m);
	if (!err)
		err = decode_runs(bytes, &c, m);
	size_t before = (size_t)bytes_of(c.packs, c.runs, 0, 0);
	if (!err)
		err = decode_states(bytes + before, &c, m);
	if (err)
		ps_push_manifest_done(m);
	return err;
}
