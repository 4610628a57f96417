/* purge: what is not needed leaves the network, and is forgotten only when it was not found again and again.
 *
 * A pad that is to go becomes invalid first: from then on it is never handed out, so that a removal that
 * comes late, on a network that cannot guard it, meets nothing that anybody needs. */
#include "base/bytes.h"
#include "base/fail.h"
#include "remote/spares.h"

struct absence_bytes {
	uint8_t serial[PS_SERIAL];
	ps_le32 times;
	ps_le32 reserved;
	ps_le64 last_ns;
};
static_assert(sizeof(struct absence_bytes) == 32, "no padding");

struct purge {
	struct ps_operation op;
	ps_remote *r;
	struct ps_remote_purge_result result;
	struct absence_bytes *absences; /* of pads that were not found, as the note has them */
	size_t absences_count;
	struct absence_bytes *now; /* as the next note will have them */
	size_t now_count, now_capacity;
};

/* ---- the note ---- */

static int read_note(struct purge *p)
{
	uint8_t *bytes;
	size_t len;
	int err = ps_index_note(p->r->index, PS_NOTE_PURGE, &bytes, &len);
	if (err == PS_ENOTFOUND)
		return PS_OK;
	if (err != PS_OK)
		return err;
	size_t count = len / sizeof(*p->absences);
	if (len % sizeof(*p->absences) != 0)
		err = ps_fail(PS_ECORRUPT, "the index's note about pads that were not found has %zu bytes",
		              len);
	else if (count > 0)
		p->absences = ps_memory_alloc(&p->r->memory, len);
	if (err == PS_OK && count > 0 && !p->absences)
		err = ps_fail(PS_ENOMEM, "no memory for a note of %zu bytes", len);
	if (err == PS_OK && count > 0) {
		memcpy(p->absences, bytes, len);
		p->absences_count = count;
	}
	ps_memory_free(ps_index_memory(p->r->index), bytes, len > 0 ? len : 1);
	return err;
}

static int write_note(struct purge *p)
{
	ps_index_txn *txn;
	if (p->now_count == 0 && p->absences_count == 0)
		return PS_OK;
	int err = ps_index_begin(p->r->index, &txn);
	if (err != PS_OK)
		return err;
	(void)!ps_txn_set_note(txn, PS_NOTE_PURGE, p->now, p->now_count * sizeof(*p->now));
	return ps_index_commit(txn);
}

static struct absence_bytes find_absence(const struct purge *p, const struct ps_serial *serial)
{
	struct absence_bytes none = {.times = ps_set32(0)};
	memcpy(none.serial, serial->bytes, PS_SERIAL);
	for (size_t i = 0; i < p->absences_count; i++)
		if (memcmp(p->absences[i].serial, serial->bytes, PS_SERIAL) == 0)
			return p->absences[i];
	return none;
}

/* One more answer of "nothing is there"; two that come close together are one. True: often enough. */
static int count_absence(struct purge *p, const struct ps_serial *serial, bool *enough)
{
	struct absence_bytes absence = find_absence(p, serial);
	uint64_t now_ns = ps_remote_wall_ns(p->r), gap_ns = p->r->options.not_found_gap_s * PS_SECOND_NS;
	uint32_t times = ps_get32(absence.times);
	if (times == 0 || now_ns >= ps_get64(absence.last_ns) + gap_ns) {
		absence.times = ps_set32(++times);
		absence.last_ns = ps_set64(now_ns);
	}
	*enough = times >= p->r->options.not_found_times;
	if (*enough)
		return PS_OK;
	struct absence_bytes *grown =
	    ps_memory_grow(&p->r->memory, p->now, p->now_count, &p->now_capacity, sizeof(*grown));
	if (!grown)
		return PS_ENOMEM;
	p->now = grown;
	p->now[p->now_count++] = absence;
	p->result.waiting++;
	return PS_OK;
}

/* ---- free pads that are too many ---- */

static uint64_t free_keep(const struct purge *p)
{
	struct ps_index_figures f;
	if (p->r->options.free_keep > 0)
		return p->r->options.free_keep;
	if (ps_network_caps(p->r->network) & PS_NET_CAP_CREATE_COSTS)
		return UINT64_MAX;
	ps_index_figures(p->r->index, &f);
	return f.pads[PS_SLOT_CONFIRMED] / 20;
}

/* Takes up to a batch of a kind out of the free ones: they are invalid now. */
static int condemn_some(struct purge *p, unsigned class, unsigned mode, uint64_t *left)
{
	ps_index_txn *txn;
	unsigned count = 0;
	int err = ps_index_begin(p->r->index, &txn);
	if (err != PS_OK)
		return err;
	for (; count<SPARES_BATCH && * left> 0 && err == PS_OK; count++, (*left)--) {
		struct ps_pad_slot slot;
		err = ps_txn_take(txn, class, mode, &slot);
		slot.status = PS_SLOT_INVALID;
		if (err == PS_OK)
			err = ps_txn_add_spare(txn, &slot, 0);
	}
	bool none = err == PS_ENOTFOUND;
	/* Somebody may be reading the value that they were part of. */
	if ((err != PS_OK && !none) || ps_manager_readers(p->r)) {
		ps_index_abort(txn);
		*left = 0;
		return none ? PS_OK : err;
	}
	if (none)
		*left = 0;
	return ps_index_commit(txn);
}

static int condemn(struct purge *p)
{
	uint64_t keep = free_keep(p);
	int err = PS_OK;
	for (unsigned class = 0; class <= PS_PAD_PUBLIC_DATA; class ++)
		for (unsigned mode = 0; mode < PS_MODES; mode++) {
			uint64_t have = ps_manager_free(p->r, class, mode),
			         left = have > keep ? have - keep : 0;
			keep -= have - left < keep ? have - left : keep;
			while (err == PS_OK && left > 0)
				err = condemn_some(p, class, mode, &left);
		}
	return err;
}

/* ---- what is invalid ---- */

static int remove_found(struct purge *p, const struct ps_pad_look *looks, size_t count)
{
	struct ps_pad_send *sends = ps_memory_zalloc(&p->r->memory, count * sizeof(*sends));
	size_t found = 0;
	if (!sends)
		return ps_operation_fail(&p->op, ps_fail(PS_ENOMEM, "no memory for pads"));
	for (size_t i = 0; i < count; i++)
		if (looks[i].task.fate == PS_FATE_DONE && looks[i].there)
			sends[found++] = (struct ps_pad_send){
			    .slot = looks[i].slot, .expected = looks[i].identity, .removes = true};
	int err = found > 0 ? ps_pads_send(&p->op, sends, found, PS_VERIFY_HEAD) : PS_OK;
	for (size_t i = 0; i < found; i++)
		p->result.deleted += sends[i].settle.settled == PS_SETTLED_CONFIRMED;
	p->result.waiting += found;
	ps_memory_free(&p->r->memory, sends, count * sizeof(*sends));
	return err;
}

static int forget_absent(struct purge *p, const struct ps_spare *spares, const struct ps_pad_look *looks,
                         size_t count)
{
	struct ps_pad_slot *slots = ps_memory_alloc(&p->r->memory, count * sizeof(*slots));
	uint64_t gone = 0;
	int err = slots ? PS_OK : ps_fail(PS_ENOMEM, "no memory for pads");
	for (size_t i = 0; i < count && err == PS_OK; i++) {
		bool enough = false;
		slots[i] = spares[i].slot;
		if (looks[i].task.fate != PS_FATE_DONE)
			p->result.waiting++;
		else if (!looks[i].there)
			err = count_absence(p, &slots[i].serial, &enough);
		if (enough)
			slots[i].status = PS_SLOT_GONE;
		gone += enough;
	}
	if (err == PS_OK)
		err = spares_change(p->r, spares, slots, count);
	if (err == PS_OK)
		p->result.forgotten += gone;
	if (slots)
		ps_memory_free(&p->r->memory, slots, count * sizeof(*slots));
	return ps_operation_fail(&p->op, err);
}

static int purge_some(struct purge *p, const struct ps_spare *spares, size_t count)
{
	struct ps_pad_look *looks = ps_memory_alloc(&p->r->memory, count * sizeof(*looks));
	if (!looks)
		return ps_operation_fail(&p->op, ps_fail(PS_ENOMEM, "no memory for pads"));
	int err = spares_look(&p->op, spares, looks, count);
	if (err == PS_OK)
		err = remove_found(p, looks, count);
	if (err == PS_OK)
		err = forget_absent(p, spares, looks, count);
	ps_memory_free(&p->r->memory, looks, count * sizeof(*looks));
	return err;
}

static int purge_invalid(struct purge *p)
{
	struct spares spares;
	int err = ps_operation_fail(&p->op, spares_list(p->r, PS_SLOT_INVALID, &spares));
	if (err != PS_OK)
		return err;
	for (size_t at = 0; at < spares.count && err == PS_OK; at += SPARES_BATCH) {
		size_t n = spares.count - at < SPARES_BATCH ? spares.count - at : SPARES_BATCH;
		err = purge_some(p, spares.all + at, n);
	}
	spares_done(&spares);
	return err;
}

/* ---- the call ---- */

static int show_plan(struct purge *p)
{
	struct ps_index_figures f;
	ps_index_figures(p->r->index, &f);
	uint64_t looks = f.pads[PS_SLOT_PENDING] + f.pads[PS_SLOT_INVALID] + f.pads[PS_SLOT_FREE];
	struct ps_remote_plan plan = {.requests = 3 * looks};
	plan.price = ps_manager_price(p->r, &plan, 0, 0);
	return ps_operation_plan(&p->op, &plan, 0, 0);
}

static int run(struct purge *p)
{
	int err = ps_operation_fail(&p->op, ps_sync_drop_left(p->r));
	if (err == PS_OK)
		err = show_plan(p);
	if (err == PS_OK)
		err = spares_settle(&p->op, &p->result.settled);
	if (err == PS_OK)
		err = ps_operation_fail(&p->op, condemn(p));
	if (err == PS_OK)
		err = ps_operation_fail(&p->op, read_note(p));
	if (err == PS_OK)
		err = purge_invalid(p);
	if (err == PS_OK)
		err = ps_operation_fail(&p->op, write_note(p));
	return err;
}

int ps_remote_purge(ps_remote *r, ps_remote_progress_fn progress, void *progress_arg,
                    struct ps_remote_purge_result *result)
{
	struct purge p = {.r = r};
	int err = ps_operation_begin(&p.op, r, "purge", SPARES_KEY, PS_OP_LOCKS, progress, progress_arg);
	if (err != PS_OK)
		return err;
	p.op.shown.key = NULL;
	if (!ps_keys_can_write(r->keys))
		(void)ps_operation_fail(&p.op, ps_fail(PS_EREADONLY, "a key that only reads purges nothing"));
	else
		(void)run(&p);
	err = ps_operation_end(&p.op);
	if (p.absences)
		ps_memory_free(&r->memory, p.absences, p.absences_count * sizeof(*p.absences));
	if (p.now)
		ps_memory_free(&r->memory, p.now, p.now_capacity * sizeof(*p.now));
	if (err == PS_OK)
		err = ps_sync_tidy(r, progress, progress_arg);
	if (err == PS_OK && result)
		*result = p.result;
	return err;
}
