/* A name is no proof: some endpoints take conditional headers and do not apply the condition, some apply it
 * only when nobody else is writing. So each endpoint shows once, on a scratch name, that it keeps the
 * promises that everything above rests on. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/fail.h"
#include "remote/s3_impl.h"

enum { RIVALS = 8, ROUNDS = 3, TRIES = 6, SCRATCH_BYTES = 64 };

/* ---- what is known already ---- */

static struct known {
	struct known *next;
	char place[8 + sizeof(((struct s3_place *)0)->host) + S3_BUCKET_MAX + 2];
	struct s3_promises promises;
} * known_endpoints;
static pthread_mutex_t known_lock = PTHREAD_MUTEX_INITIALIZER;

static void name_place(const struct s3_place *place, char *text, size_t capacity)
{
	snprintf(text, capacity, "%s://%s/%s", place->https ? "https" : "http", place->host, place->bucket);
}

static bool recall(const struct s3_place *place, struct s3_promises *promises)
{
	char text[sizeof(((struct known *)0)->place)];
	name_place(place, text, sizeof(text));
	pthread_mutex_lock(&known_lock);
	const struct known *k = known_endpoints;
	while (k && strcmp(k->place, text) != 0)
		k = k->next;
	if (k)
		*promises = k->promises;
	pthread_mutex_unlock(&known_lock);
	return k != NULL;
}

/* Kept until the process ends. Without memory the next open asks again. */
static void remember(const struct s3_place *place, const struct s3_promises *promises)
{
	struct known *k = calloc(1, sizeof(*k));
	if (!k)
		return;
	name_place(place, k->place, sizeof(k->place));
	k->promises = *promises;
	pthread_mutex_lock(&known_lock);
	k->next = known_endpoints;
	known_endpoints = k;
	pthread_mutex_unlock(&known_lock);
}

/* ---- requests ---- */

struct probe {
	struct s3_client *client;
	struct ps_pad_name name;
	uint64_t counter; /* of the last version made up */
	struct ps_pad_identity there;
	struct ps_net_token token, old_token; /* of what is there, of what was there before */
	struct ps_pad_identity old;
	struct ps_net_request rivals[RIVALS];
};

static int broken(const struct probe *p, const char *promise)
{
	return ps_fail(PS_ENOTSUP,
	               "%s: the endpoint breaks a promise, so it can only be opened for reading: %s",
	               p->client->network->base.url, promise);
}

static int unclear(const struct ps_net_request *r)
{
	int err = r->error != PS_OK && r->error != PS_ETIMEDOUT ? r->error : ps_outcome_error(r->outcome);
	return ps_fail(err == PS_OK || err == PS_EBUSY ? PS_EUNAVAILABLE : err,
	               "while the endpoint's promises were tested: %s", r->sentence);
}

/* A version that nobody has seen, in a buffer of its own. */
static bool make_version(struct probe *p, struct ps_net_request *r, enum ps_net_op op)
{
	*r = (struct ps_net_request){.op = op, .name = p->name, .expected = p->there, .token = p->token};
	r->identity.counter = ++p->counter;
	if (getrandom(r->identity.hash, sizeof(r->identity.hash), 0) != sizeof(r->identity.hash))
		return false;
	r->buffer = ps_net_buffer_new(&p->client->network->base.memory, SCRATCH_BYTES);
	if (!r->buffer)
		return false;
	r->buffer->len = SCRATCH_BYTES;
	memset(r->buffer->bytes, (int)(p->counter & 0xff), SCRATCH_BYTES);
	memcpy(r->buffer->bytes, r->identity.hash, sizeof(r->identity.hash));
	return true;
}

static void drop_versions(struct ps_net_request *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ps_net_buffer_release(r[i].buffer);
		r[i].buffer = NULL;
	}
}

static int send_versions(struct probe *p, enum ps_net_op op, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p->rivals[i].buffer = NULL;
	for (size_t i = 0; i < n; i++)
		if (!make_version(p, &p->rivals[i], op)) {
			drop_versions(p->rivals, n);
			return ps_fail(PS_ENOMEM, "s3: no memory to test the endpoint's promises");
		}
	ps_s3_client_run(p->client, p->rivals, n, S3_SCRATCH);
	drop_versions(p->rivals, n);
	return PS_OK;
}

static enum ps_outcome see(struct probe *p, struct ps_net_request *r)
{
	*r = (struct ps_net_request){.op = PS_NET_HEAD, .name = p->name};
	ps_s3_client_run(p->client, r, 1, S3_SCRATCH);
	return r->outcome;
}

static enum ps_outcome take_away(struct probe *p, struct ps_net_request *r, const struct ps_net_token *token)
{
	*r = (struct ps_net_request){.op = PS_NET_REMOVE, .name = p->name, .token = *token};
	ps_s3_client_run(p->client, r, 1, S3_BLIND_REMOVE);
	return r->outcome;
}

/* What is there becomes what is known to be there. */
static void note(struct probe *p, const struct ps_net_request *seen)
{
	if (ps_identity_same(&seen->identity, &p->there))
		return;
	p->old = p->there;
	p->old_token = p->token;
	p->there = seen->identity;
	p->token = seen->token;
}

/* ---- promises ---- */

/* After a race: how many were told that they won, and whether what is there is a winner's. An outcome that is
 * not known may have won as well. */
static int judge_race(struct probe *p, bool *won, const char *promise)
{
	struct ps_net_request seen;
	size_t winners = 0;
	bool is_winners = false, is_unknown = false, any_unknown = false;
	enum ps_outcome outcome = see(p, &seen);
	for (size_t i = 0; i < RIVALS; i++) {
		const struct ps_net_request *r = &p->rivals[i];
		bool same = ps_identity_same(&seen.identity, &r->identity);
		winners += r->outcome == PS_NET_DONE;
		is_winners = is_winners || (same && r->outcome == PS_NET_DONE);
		is_unknown = is_unknown || (same && r->outcome != PS_NET_DONE);
		any_unknown = any_unknown || r->outcome == PS_NET_UNKNOWN;
	}
	if (winners > 1)
		return broken(p, promise);
	if (outcome != PS_NET_DONE && outcome != PS_NET_ABSENT)
		return unclear(&seen);
	/* An unknown one could be on its way still: then nothing is proved, and nothing broken. */
	if (winners == 1 && !is_winners && !any_unknown)
		return broken(p, "what was stored is there afterwards, with its metadata");
	*won = winners == 1 ? is_winners : is_unknown;
	if (*won)
		note(p, &seen);
	return PS_OK;
}

static int race(struct probe *p, enum ps_net_op op, const char *promise)
{
	bool won = false;
	int err = send_versions(p, op, RIVALS);
	if (err == PS_OK)
		err = judge_race(p, &won, promise);
	if (err != PS_OK || won)
		return err;
	for (size_t i = 0; i < RIVALS; i++)
		if (p->rivals[i].outcome != PS_NET_CONFLICT)
			return unclear(&p->rivals[i]);
	return broken(p, op == PS_NET_CREATE ? "a name that is free can be taken (If-None-Match: *)"
	                                     : "the version that is there can be replaced (If-Match)");
}

/* A busy endpoint may leave every rival of a round in the dark. */
static int race_until_decided(struct probe *p, enum ps_net_op op, const char *promise)
{
	int err = PS_EUNAVAILABLE;
	for (size_t i = 0; i < TRIES && err == PS_EUNAVAILABLE; i++) {
		err = race(p, op, promise);
		struct ps_net_request seen;
		/* The next try sets out from what there is. */
		if (err == PS_EUNAVAILABLE && see(p, &seen) == PS_NET_DONE) {
			note(p, &seen);
			if (op == PS_NET_CREATE)
				return PS_OK;
		}
	}
	return err;
}

static int prove_create(struct probe *p)
{
	const char *promise = "of several who take a free name one wins (If-None-Match: *)";
	int err = race_until_decided(p, PS_NET_CREATE, promise);
	if (err == PS_OK)
		err = send_versions(p, PS_NET_CREATE, 1);
	if (err != PS_OK)
		return err;
	if (p->rivals[0].outcome == PS_NET_DONE)
		return broken(p, "a name that is taken is not taken again (If-None-Match: *)");
	return p->rivals[0].outcome == PS_NET_CONFLICT ? PS_OK : unclear(&p->rivals[0]);
}

static int replace_once(struct probe *p, enum ps_outcome *outcome)
{
	struct ps_net_request seen;
	int err = send_versions(p, PS_NET_REPLACE, 1);
	if (err != PS_OK)
		return err;
	*outcome = p->rivals[0].outcome;
	if (*outcome == PS_NET_CONFLICT)
		return PS_OK;
	if (*outcome != PS_NET_DONE)
		return unclear(&p->rivals[0]);
	if (see(p, &seen) != PS_NET_DONE)
		return unclear(&seen);
	if (!ps_identity_same(&seen.identity, &p->rivals[0].identity))
		return broken(p, "what was stored is there afterwards, with its metadata");
	note(p, &seen);
	return PS_OK;
}

/* Some gateways compare the ETag without the quotes that they gave it with. */
static int prove_replace(struct probe *p)
{
	enum ps_outcome outcome;
	int err = replace_once(p, &outcome);
	if (err == PS_OK && outcome == PS_NET_CONFLICT) {
		p->client->network->bare_tokens = true;
		err = replace_once(p, &outcome);
	}
	if (err == PS_OK && outcome == PS_NET_CONFLICT)
		err = broken(p, "the version that is there can be replaced (If-Match)");
	return err;
}

static int prove_stale(struct probe *p)
{
	struct probe stale = *p;
	struct ps_net_request seen;
	stale.there = p->old;
	stale.token = p->old_token;
	int err = send_versions(&stale, PS_NET_REPLACE, 1);
	p->counter = stale.counter;
	if (err != PS_OK)
		return err;
	if (stale.rivals[0].outcome == PS_NET_DONE)
		return broken(p, "a version that is no longer there is not replaced (If-Match)");
	if (stale.rivals[0].outcome != PS_NET_CONFLICT)
		return unclear(&stale.rivals[0]);
	if (see(p, &seen) != PS_NET_DONE)
		return unclear(&seen);
	return ps_identity_same(&seen.identity, &p->there)
	           ? PS_OK
	           : broken(p, "a change that was refused is not made (If-Match)");
}

/* Where nothing is, no version matches. */
static int prove_absent(struct probe *p)
{
	struct probe empty = *p;
	struct ps_net_request gone;
	empty.name.bytes[0] ^= 1;
	int err = send_versions(&empty, PS_NET_REPLACE, 1);
	p->counter = empty.counter;
	if (err != PS_OK)
		return err;
	if (empty.rivals[0].outcome == PS_NET_DONE) {
		take_away(&empty, &gone, &(struct ps_net_token){0});
		return broken(p, "where nothing is, nothing is replaced (If-Match)");
	}
	bool refused = empty.rivals[0].outcome == PS_NET_ABSENT || empty.rivals[0].outcome == PS_NET_CONFLICT;
	return refused ? PS_OK : unclear(&empty.rivals[0]);
}

static int prove_races(struct probe *p)
{
	int err = PS_OK;
	for (size_t i = 0; i < ROUNDS && err == PS_OK; i++)
		err = race_until_decided(p, PS_NET_REPLACE,
		                         "of several who replace one version one wins (If-Match)");
	return err;
}

/* No breach if it fails: then nothing is removed by version. */
static bool removes_by_version(struct probe *p)
{
	struct ps_net_request r;
	if (p->old_token.len == 0 || take_away(p, &r, &p->old_token) == PS_NET_DONE)
		return false;
	if (see(p, &r) != PS_NET_DONE || !ps_identity_same(&r.identity, &p->there))
		return false;
	return take_away(p, &r, &p->token) == PS_NET_DONE && see(p, &r) == PS_NET_ABSENT;
}

static int prove_writes(struct probe *p)
{
	int err = prove_create(p);
	if (err == PS_OK)
		err = prove_replace(p);
	if (err == PS_OK)
		err = prove_stale(p);
	if (err == PS_OK)
		err = prove_absent(p);
	return err == PS_OK ? prove_races(p) : err;
}

int ps_s3_probe(struct s3_client *client, struct s3_promises *promises)
{
	struct s3_network *network = client->network;
	struct probe p = {.client = client};
	struct ps_net_request gone;
	if (recall(&network->place, promises))
		return PS_OK;
	if (getrandom(p.name.bytes, sizeof(p.name.bytes), 0) != sizeof(p.name.bytes))
		return ps_fail(PS_EIO, "%s: no random bytes for a scratch name", network->base.url);
	network->bare_tokens = false;
	int err = prove_writes(&p);
	if (err == PS_OK) {
		promises->guarded_remove = removes_by_version(&p);
		promises->bare_tokens = network->bare_tokens;
		remember(&network->place, promises);
	}
	/* Also where it failed: the name is nobody's. */
	take_away(&p, &gone, &(struct ps_net_token){0});
	return err;
}
