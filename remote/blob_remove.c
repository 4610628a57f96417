/* remove, release and rename: changes of the index alone, but for an address that ends. */
#include "base/fail.h"
#include "remote/public_internal.h"

static int commit_record(ps_remote *r, const struct ps_record *record, const struct ps_slots *let_go,
                         uint64_t hold, const struct public_close *close)
{
	ps_index_txn *txn;
	int err = ps_index_begin(r->index, &txn);
	if (err != PS_OK)
		return err;
	/* What fails here fails the commit. */
	(void)!ps_txn_put(txn, record);
	(void)!ps_txn_let_go(txn, let_go, hold);
	if (close)
		(void)!ps_public_close_in(close, txn);
	return ps_index_commit(txn);
}

/* One that no other machine can know of leaves no tombstone. */
static int forget_record(ps_remote *r, const struct ps_record *record, const struct ps_slots *let_go,
                         const struct public_close *close)
{
	ps_index_txn *txn;
	int err = ps_index_begin(r->index, &txn);
	if (err != PS_OK)
		return err;
	(void)!ps_txn_remove(txn, record->kind, record->name, record->name_len, false);
	(void)!ps_txn_let_go(txn, let_go, 0);
	if (close)
		(void)!ps_public_close_in(close, txn);
	return ps_index_commit(txn);
}

/* No head may name it, and it has no pads of others, as a conflict copy has that was written anew before a
 * head had it. */
static bool never_left(const struct ps_record *record)
{
	bool named =
	    !ps_version_none(&record->base) || (record->flags & (PS_RECORD_SENT | PS_RECORD_BORROWED));
	named |= record->sets[PS_SET_BASE].count > 0;
	for (uint32_t i = 0; i < record->sets[PS_SET_CURRENT].count && !named; i++)
		named = record->sets[PS_SET_CURRENT].slots[i].named != 0;
	return !named;
}

static int read_record(struct ps_operation *op, struct ps_record *record)
{
	const char *key = op->shown.key;
	int err = ps_index_get(op->r->index, PS_RECORD_BLOB, key, strlen(key), record);
	if (err == PS_ENOTFOUND)
		return ps_fail(err, "there is no value under \"%.64s\"", key);
	return err;
}

static int begin(struct ps_operation *op, ps_remote *r, const char *name, const char *key)
{
	if (!key)
		return ps_fail(PS_EINVAL, "ps_remote_%s: the key is NULL", name);
	int err = ps_operation_begin(op, r, name, key, PS_OP_LOCKS, NULL, NULL);
	if (err == PS_OK)
		op->progress = NULL;
	if (err == PS_OK && !ps_keys_can_write(r->keys))
		(void)ps_operation_fail(op, ps_fail(PS_EREADONLY, "a key that only reads changes nothing"));
	return err;
}

/* ---- remove ---- */

/* The pads of one set after another; those that a head names stay with the tombstone. */
static int bury(ps_remote *r, struct ps_record *record, struct ps_slots *let_go, uint64_t *hold)
{
	struct ps_version version = ps_manager_version(r, record);
	uint64_t none;
	int err = ps_manager_leave(r, record, PS_SET_CURRENT, let_go, hold);
	if (err == PS_OK && record->sets[PS_SET_NEXT].count > 0)
		err = ps_manager_leave(r, record, PS_SET_NEXT, let_go, &none);
	return err == PS_OK ? ps_record_bury(record, &version, ps_remote_wall_ns(r), let_go) : err;
}

int ps_blob_bury(ps_remote *r, struct ps_record *record, const struct public_close *close)
{
	struct ps_slots let_go = {0};
	uint64_t hold = 0;
	bool forget = never_left(record);
	int err = bury(r, record, &let_go, &hold);
	if (err == PS_OK)
		err = forget ? forget_record(r, record, &let_go, close)
		             : commit_record(r, record, &let_go, hold, close);
	ps_slots_done(&let_go, ps_index_memory(r->index));
	return err;
}

/* Its address ends first: readers are told so before a pad of the value is written anew. */
static int bury_public(struct ps_operation *op, struct ps_record *record)
{
	struct public_close close = {.r = op->r, .key = op->shown.key};
	struct ps_busy_key turn;
	int err = ps_public_end(op, record, &close);
	if (err != PS_OK)
		return err;
	public_turn_take(op->r, &turn);
	err = ps_blob_bury(op->r, record, &close);
	public_turn_give(op->r, &turn);
	return err;
}

static int remove_value(struct ps_operation *op)
{
	struct ps_record record = {0};
	int err = read_record(op, &record);
	if (err == PS_OK && !ps_record_has_contents(&record) && !(record.flags & PS_RECORD_UPDATING))
		err = ps_fail(PS_ENOTFOUND, "there is no value under \"%.64s\"", op->shown.key);
	if (err == PS_OK)
		err = record.flags & PS_RECORD_PUBLIC ? bury_public(op, &record)
		                                      : ps_blob_bury(op->r, &record, NULL);
	ps_record_done(&record);
	return err;
}

/* One that was cut off may have been carried out by now. */
static int remove_or_go_on(struct ps_operation *op)
{
	bool resumed;
	int err = ps_public_resume(op, &resumed);
	if (err == PS_OK)
		err = remove_value(op);
	return err == PS_ENOTFOUND && resumed ? PS_OK : err;
}

int ps_remote_remove(ps_remote *r, const char *key)
{
	struct ps_operation op;
	int err = begin(&op, r, "remove", key);
	if (err != PS_OK)
		return err;
	if (op.error == PS_OK)
		(void)ps_operation_fail(&op, remove_or_go_on(&op));
	return ps_operation_end(&op);
}

/* ---- release ---- */

static int release_next(struct ps_operation *op)
{
	struct ps_record record = {0};
	struct ps_slots let_go = {0};
	uint64_t hold;
	int err = read_record(op, &record);
	if (err == PS_OK && !(record.flags & PS_RECORD_UPDATING))
		err = ps_fail(PS_ENOTFOUND, "nothing is unfinished under \"%.64s\"", op->shown.key);
	if (err == PS_OK)
		err = ps_public_release(&record, &let_go);
	if (err == PS_OK)
		err = ps_manager_leave(op->r, &record, PS_SET_NEXT, &let_go, &hold);
	if (err == PS_OK) {
		record.flags &= (uint16_t)~PS_RECORD_UPDATING;
		record.next = (struct ps_content){0};
		bool rest = ps_record_has_contents(&record) || (record.flags & PS_RECORD_TOMBSTONE);
		err = rest ? commit_record(op->r, &record, &let_go, 0, NULL)
		           : forget_record(op->r, &record, &let_go, NULL);
	}
	ps_slots_done(&let_go, ps_index_memory(op->r->index));
	ps_record_done(&record);
	return err;
}

int ps_remote_release(ps_remote *r, const char *key)
{
	struct ps_operation op;
	int err = begin(&op, r, "release", key);
	if (err != PS_OK)
		return err;
	if (op.error == PS_OK)
		(void)ps_operation_fail(&op, release_next(&op));
	return ps_operation_end(&op);
}

/* ---- rename ---- */

/* What the new name has: contents, and what is unfinished. The pads of the old one's base stay with its
 * tombstone. A head may name pads of it under the old key: they say so from now on. */
static int move_contents(ps_remote *r, struct ps_record *from, struct ps_record *to)
{
	bool left = !never_left(from);
	struct ps_version version =
	    ps_manager_version(r, ps_version_compare(&to->version, &from->version) > 0 ? to : from);
	to->content = from->content;
	to->next = from->next;
	to->version = version;
	to->time_ns = from->time_ns;
	to->flags = (uint16_t)((from->flags & (PS_RECORD_COMPLETE | PS_RECORD_UPDATING)) |
	                       (to->flags & (PS_RECORD_SENT | PS_RECORD_MOVES)) | PS_RECORD_DIRTY);
	to->index_pad = from->index_pad;
	to->flags |= from->flags & PS_RECORD_PUBLIC;
	for (uint32_t i = 0; i < from->sets[PS_SET_CURRENT].count; i++) {
		struct ps_pad_slot *slot = &from->sets[PS_SET_CURRENT].slots[i];
		bool named = left && ps_manager_named(from, PS_SET_CURRENT, slot) != 0;
		slot->named = named ? PS_NAMED_BASE : 0;
	}
	for (unsigned set = PS_SET_CURRENT; set <= PS_SET_NEXT; set++) {
		struct ps_slots *slots = &from->sets[set];
		int err = ps_record_set_slots(to, set, slots->slots, slots->count);
		if (err != PS_OK)
			return err;
		ps_slots_done(slots, from->memory);
	}
	from->flags &= (uint16_t) ~(PS_RECORD_PUBLIC | PS_RECORD_UPDATING);
	if (left)
		from->flags |= PS_RECORD_GIVEN;
	/* Also what it was moved to before a head had it there: the key that gave it still goes with it. */
	if (left || (from->flags & PS_RECORD_TAKEN))
		to->flags |= PS_RECORD_TAKEN;
	from->index_pad = (struct ps_pad_slot){0};
	from->next = (struct ps_content){0};
	return PS_OK;
}

static int commit_both(ps_remote *r, const struct ps_record *from, const struct ps_record *to, bool forget)
{
	ps_index_txn *txn;
	int err = ps_index_begin(r->index, &txn);
	if (err != PS_OK)
		return err;
	(void)!ps_txn_put(txn, to);
	if (forget)
		(void)!ps_txn_remove(txn, from->kind, from->name, from->name_len, false);
	else
		(void)!ps_txn_put(txn, from);
	return ps_index_commit(txn);
}

static int commit_rename(ps_remote *r, struct ps_record *from, const struct ps_record *to, bool forget)
{
	struct ps_version version = ps_manager_version(r, from);
	struct ps_slots none = {0};
	int err = forget ? PS_OK : ps_record_bury(from, &version, ps_remote_wall_ns(r), &none);
	if (err != PS_OK)
		return err;
	ps_manager_move(r); /* before it can be seen in part */
	err = commit_both(r, from, to, forget);
	ps_manager_moved(r);
	return err;
}

/* The tombstone of a value that was removed may be there. */
static int read_target(ps_remote *r, const char *key, struct ps_record *record)
{
	int err = ps_index_get(r->index, PS_RECORD_BLOB, key, strlen(key), record);
	if (err == PS_ENOTFOUND)
		return ps_record_init(record, ps_index_memory(r->index), PS_RECORD_BLOB, key, strlen(key));
	if (err == PS_OK && (ps_record_has_contents(record) || (record->flags & PS_RECORD_UPDATING)))
		return ps_fail(PS_EEXIST, "\"%.64s\" has a value, or one is being put", key);
	return err;
}

static int rename_value(struct ps_operation *op, const char *to_key)
{
	struct ps_record from = {0}, to = {0};
	int err = read_record(op, &from);
	if (err == PS_OK && !ps_record_has_contents(&from))
		err = ps_fail(PS_ENOTFOUND, "there is no value under \"%.64s\"", op->shown.key);
	if (err == PS_OK && (from.flags & PS_RECORD_BORROWED))
		err = ps_fail(PS_EBUSY, "\"%.64s\" is a conflict copy that no head has yet: sync first",
		              op->shown.key);
	if (err == PS_OK)
		err = read_target(op->r, to_key, &to);
	bool forget = err == PS_OK && never_left(&from);
	if (err == PS_OK)
		err = move_contents(op->r, &from, &to);
	if (err == PS_OK)
		err = commit_rename(op->r, &from, &to, forget);
	ps_record_done(&from);
	ps_record_done(&to);
	return err;
}

static int move_value(struct ps_operation *op, const char *to_key)
{
	struct ps_operation target;
	int err = begin(&target, op->r, "rename", to_key);
	if (err != PS_OK)
		return err;
	if (target.error == PS_OK)
		(void)ps_operation_fail(&target, rename_value(op, to_key));
	return ps_operation_end(&target);
}

/* This machine wrote it last, in pads that no head names, nor one that is on its way: nobody else frees them.
 * What was sent of it before is of no matter. The address of a public value shows them, so nobody else
 * changes that key before it has heard of it. */
static bool is_own(const ps_remote *r, const struct ps_record *record)
{
	const struct ps_slots *current = &record->sets[PS_SET_CURRENT];
	bool sent =
	    (record->flags & PS_RECORD_SENT) && ps_version_compare(&record->sent, &record->version) == 0;
	bool own = (record->flags & PS_RECORD_DIRTY) && !sent &&
	           memcmp(record->version.machine, r->machine.id, PS_MACHINE) == 0;
	for (uint32_t i = 0; i < current->count && own; i++)
		own = ps_manager_named(record, PS_SET_CURRENT, &current->slots[i]) == 0;
	return own;
}

/* How a key gets another name. */
struct way {
	bool rewrites; /* first it is written anew under the old one, in pads that no head names */
	bool shares;   /* no machine knows of the pads; to be said when that is over */
};

/* Another machine that changes the old key, before it hears of the new one, frees the pads that both name. */
static int find_way(struct ps_operation *op, struct way *way)
{
	struct ps_record record = {0};
	int err = read_record(op, &record);
	bool known = err == PS_OK && !never_left(&record);
	way->shares = known && ps_manager_may_share(op->r);
	known = known && !way->shares;
	way->rewrites = known && !is_own(op->r, &record);
	if (err == PS_OK)
		err = ps_public_check_rename(op->r, op->shown.key);
	ps_record_done(&record);
	return err;
}

static int check_target(ps_remote *r, const char *to)
{
	struct ps_remote_info info;
	int err = ps_remote_stat(r, to, &info);
	if (err == PS_ENOTFOUND)
		return PS_OK;
	return err == PS_OK ? ps_fail(PS_EEXIST, "\"%.64s\" has a value, or one is being put", to) : err;
}

/* *rewrite: nothing was done; the value is to be written anew first. What an interrupted call meant the
 * address to show, this one's own rewriting among them, is carried out before anything else. */
static int rename_once(ps_remote *r, const char *from, const char *to, bool *rewrite)
{
	struct ps_operation op;
	struct way way = {0};
	bool resumed;
	int err = begin(&op, r, "rename", from);
	*rewrite = false;
	if (err != PS_OK)
		return err;
	if (op.error == PS_OK)
		(void)ps_operation_fail(&op, ps_public_resume(&op, &resumed));
	if (op.error == PS_OK)
		(void)ps_operation_fail(&op, find_way(&op, &way));
	if (op.error == PS_OK && way.rewrites)
		(void)ps_operation_fail(&op, check_target(r, to));
	if (op.error == PS_OK && !way.rewrites)
		(void)ps_operation_fail(&op, move_value(&op, to));
	*rewrite = op.error == PS_OK && way.rewrites;
	if (way.shares)
		ps_manager_shared(r);
	return ps_operation_end(&op);
}

int ps_remote_rename(ps_remote *r, const char *from, const char *to)
{
	enum { MOST_TRIES = 4 };
	bool rewrite = true;
	int err = to ? PS_OK : ps_fail(PS_EINVAL, "ps_remote_rename: the key is NULL");
	for (unsigned tries = 0; err == PS_OK && rewrite; tries++) {
		err = rename_once(r, from, to, &rewrite);
		if (err == PS_OK && rewrite)
			err =
			    tries < MOST_TRIES
			        ? ps_blob_write_anew(r, from)
			        : ps_fail(PS_EBUSY, "\"%.64s\" was changed again and again meanwhile", from);
	}
	return err;
}
