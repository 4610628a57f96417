#include "multistore/state_place.h"

void ps_state_place_leave(struct ps_pack_loader *l, struct ps_state_place *p)
{
	ps_pack_cache_release(l->cache, p->block);
	ps_pack_cache_release(l->cache, p->index);
	p->block = p->index = NULL;
}

static int hold_index(struct ps_pack_loader *l, enum ps_state_reach reach, struct ps_state_place *p)
{
	const struct ps_push_manifest_pack *pack = &p->packs[p->pack];
	if (reach != PS_STATE_CACHED)
		return ps_pack_load_index(l, pack, &p->index);
	int err = ps_pack_peek_index(l, pack, &p->index);
	return err || p->index ? err : PS_STATE_AWAY;
}

static int hold_block(struct ps_pack_loader *l, enum ps_state_reach reach, uint32_t block,
                      struct ps_state_place *p)
{
	const struct ps_pack_index *index = &p->index->index;
	if (reach != PS_STATE_CACHED)
		return ps_pack_load_block(l, index, block, block, &p->block);
	p->block = ps_pack_peek_block(l, index, block);
	return p->block ? PS_OK : PS_STATE_AWAY;
}

int ps_state_place_find(struct ps_pack_loader *l, const struct ps_push_manifest *m,
                        const struct ps_push_manifest_state *s, uint32_t run_number, ps_id id,
                        enum ps_state_reach reach, struct ps_state_place *p)
{
	const struct ps_push_manifest_run *run = &m->runs[s->run[run_number]];
	uint32_t block;
	*p = (struct ps_state_place){.m = m,
	                             .state = s,
	                             .run_number = run_number,
	                             .run = run,
	                             .packs = ps_push_manifest_packs(m, run)};
	p->pack = ps_push_manifest_find_pack(run, p->packs, id);
	if (p->pack == run->packs)
		return PS_ENOTFOUND;
	int err = hold_index(l, reach, p);
	if (err)
		return err;
	err = PS_ENOTFOUND;
	if (ps_pack_index_find(&p->index->index, id, 0, &block))
		err = hold_block(l, reach, block, p);
	if (!err)
		p->item = ps_pack_block_find(&p->block->block, id, 0);
	if (p->item)
		p->object = ps_pack_block_object(&p->block->block, p->item);
	else if (!err)
		err = PS_ENOTFOUND;
	if (err)
		ps_state_place_leave(l, p);
	return err;
}
