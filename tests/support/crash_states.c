/* `durable` is the disk as it certainly is, `image` the state under construction; they differ in touched
 * sectors only. A touched sector has its durable content and the versions written since. Truncations and
 * holes ("erasures") are numbered as they come; a version remembers how many there were before it: those that
 * follow can zero it. */
#include "tests/support/crash_states.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { NO_SLOT = -1, DEFAULT_EXHAUSTIVE = 16384, DEFAULT_SAMPLES = 64 };

struct version {
	const uint8_t *data;
	unsigned erasures; /* so many came before it */
	unsigned value;    /* which candidate of its sector it is */
	size_t event;      /* 1 + index in the trace; 0: durable before */
	int next;
};

struct sector {
	uint64_t number;
	int first, last; /* versions; the first is the durable content */
	unsigned values; /* candidates that differ */
	const struct version *chosen;
};

struct erasure {
	bool is_hole, chosen, dead;
	uint64_t offset, end; /* a truncation: end UINT64_MAX */
	size_t event;
};

struct length {
	uint64_t bytes;
	unsigned erasures; /* truncations up to here have happened if this length is chosen */
	size_t event;
};

enum atom_kind { ATOM_SECTOR, ATOM_HOLE, ATOM_LENGTH };
struct atom {
	enum atom_kind kind;
	unsigned index, values, value;
};

struct list {
	void *items;
	size_t count, room;
};

struct explorer {
	const struct sim_trace *trace;
	struct crash_options options;
	crash_fn fn;
	void *arg;
	uint8_t *durable, *image;
	uint64_t room, current; /* the file's length with all events done */
	int *slots;             /* sector number to index in `sectors` */
	struct list sectors, versions, erasures, lengths, atoms;
	unsigned length; /* chosen */
	struct crash_state state;
	uint64_t random;
	int result;
};

static void *list_add(struct list *list, size_t item_bytes)
{
	if (list->count == list->room) {
		list->room = list->room ? list->room * 2 : 64;
		list->items = realloc(list->items, list->room * item_bytes);
		if (!list->items)
			abort();
	}
	return (char *)list->items + list->count++ * item_bytes;
}

#define AT(list, type, i) (&((type *)(list).items)[i])

static uint64_t next_random(struct explorer *x)
{
	x->random ^= x->random << 13;
	x->random ^= x->random >> 7;
	x->random ^= x->random << 17;
	return x->random;
}

static bool is_zero(const uint8_t *sector)
{
	return sector[0] == 0 && memcmp(sector, sector + 1, SIM_SECTOR - 1) == 0;
}

static void add_version(struct explorer *x, struct sector *sector, const uint8_t *data, size_t event)
{
	int index = (int)x->versions.count;
	struct version *version = list_add(&x->versions, sizeof(*version));
	*version = (struct version){
	    .data = data, .erasures = (unsigned)x->erasures.count, .event = event, .next = NO_SLOT};
	if (sector->first == NO_SLOT)
		sector->first = index;
	else
		AT(x->versions, struct version, sector->last)->next = index;
	sector->last = index;
}

static struct sector *touch(struct explorer *x, uint64_t number)
{
	if (x->slots[number] != NO_SLOT)
		return AT(x->sectors, struct sector, x->slots[number]);
	x->slots[number] = (int)x->sectors.count;
	struct sector *sector = list_add(&x->sectors, sizeof(*sector));
	*sector = (struct sector){.number = number, .first = NO_SLOT, .last = NO_SLOT};
	add_version(x, sector, x->durable + number * SIM_SECTOR, 0);
	AT(x->versions, struct version, sector->first)->erasures = 0;
	return sector;
}

static void set_length(struct explorer *x, uint64_t bytes, size_t event)
{
	if (bytes == x->current)
		return;
	x->current = bytes;
	struct length *length = list_add(&x->lengths, sizeof(*length));
	*length = (struct length){.bytes = bytes, .erasures = (unsigned)x->erasures.count, .event = event};
}

static void add_erasure(struct explorer *x, bool is_hole, uint64_t offset, uint64_t end, size_t event)
{
	struct erasure *erasure = list_add(&x->erasures, sizeof(*erasure));
	*erasure = (struct erasure){.is_hole = is_hole, .offset = offset, .end = end, .event = event};
	for (uint64_t n = offset / SIM_SECTOR; n * SIM_SECTOR < end && n * SIM_SECTOR < x->room; n++) {
		if (!is_zero(x->durable + n * SIM_SECTOR))
			touch(x, n);
	}
}

/* What happened is a possibility from now on. */
static void add_event(struct explorer *x, size_t index)
{
	const struct sim_event *event = &x->trace->events[index];
	uint64_t end = event->offset + event->len;
	switch (event->kind) {
	case SIM_WRITE:
		for (uint64_t at = 0; at < event->len; at += SIM_SECTOR)
			add_version(x, touch(x, (event->offset + at) / SIM_SECTOR),
			            x->trace->bytes + event->data + at, index + 1);
		set_length(x, end > x->current ? end : x->current, index + 1);
		break;
	case SIM_ALLOCATE:
		set_length(x, end > x->current ? end : x->current, index + 1);
		break;
	case SIM_PUNCH:
		add_erasure(x, true, event->offset, end, index + 1);
		break;
	case SIM_TRUNCATE:
		if (event->offset < x->current)
			add_erasure(x, false, event->offset, UINT64_MAX, index + 1);
		set_length(x, event->offset, index + 1);
		break;
	case SIM_FLUSH:
		break;
	}
}

/* Whether the chosen erasures zero this version of the sector. */
static bool is_erased(const struct explorer *x, const struct version *version, uint64_t offset)
{
	unsigned truncations = AT(x->lengths, struct length, x->length)->erasures;
	for (unsigned i = version->erasures; i < x->erasures.count; i++) {
		const struct erasure *erasure = AT(x->erasures, struct erasure, i);
		bool happened = erasure->is_hole ? erasure->chosen : i < truncations;
		if (happened && !erasure->dead && erasure->offset <= offset && offset < erasure->end)
			return true;
	}
	return false;
}

static void resolve(struct explorer *x, const struct sector *sector)
{
	uint64_t offset = sector->number * SIM_SECTOR;
	if (is_erased(x, sector->chosen, offset))
		memset(x->image + offset, 0, SIM_SECTOR);
	else
		memcpy(x->image + offset, sector->chosen->data, SIM_SECTOR);
}

static void resolve_all(struct explorer *x)
{
	for (size_t i = 0; i < x->sectors.count; i++)
		resolve(x, AT(x->sectors, struct sector, i));
}

static const struct version *version_of_value(const struct explorer *x, const struct sector *sector,
                                              unsigned value)
{
	const struct version *version = AT(x->versions, struct version, sector->first);
	while (version->value != value)
		version = AT(x->versions, struct version, version->next);
	return version;
}

static void set_atom(struct explorer *x, struct atom *atom, unsigned value)
{
	if (atom->value == value)
		return;
	atom->value = value;
	if (atom->kind == ATOM_SECTOR) {
		struct sector *sector = AT(x->sectors, struct sector, atom->index);
		sector->chosen = version_of_value(x, sector, value);
		resolve(x, sector);
		return;
	}
	if (atom->kind == ATOM_HOLE)
		AT(x->erasures, struct erasure, atom->index)->chosen = value != 0;
	else
		x->length = value;
	resolve_all(x);
}

/* Numbers the candidates of a sector: versions of the same bytes that the same erasures can zero are one. */
static void number_values(struct explorer *x, struct sector *sector)
{
	sector->values = 0;
	for (int i = sector->first; i != NO_SLOT;) {
		struct version *version = AT(x->versions, struct version, i);
		version->value = sector->values;
		for (int j = sector->first; j != i;) {
			const struct version *other = AT(x->versions, struct version, j);
			if (other->erasures == version->erasures &&
			    memcmp(other->data, version->data, SIM_SECTOR) == 0) {
				version->value = other->value;
				break;
			}
			j = other->next;
		}
		sector->values += version->value == sector->values;
		i = version->next;
	}
}

static bool hole_matters(const struct explorer *x, unsigned index)
{
	const struct erasure *hole = AT(x->erasures, struct erasure, index);
	for (size_t i = 0; i < x->sectors.count; i++) {
		const struct sector *sector = AT(x->sectors, struct sector, i);
		uint64_t offset = sector->number * SIM_SECTOR;
		if (offset < hole->offset || offset >= hole->end)
			continue;
		for (int v = sector->first; v != NO_SLOT; v = AT(x->versions, struct version, v)->next) {
			const struct version *version = AT(x->versions, struct version, v);
			if (version->erasures <= index && !is_zero(version->data))
				return true;
		}
	}
	return false;
}

static void add_atom(struct explorer *x, enum atom_kind kind, size_t index, unsigned values)
{
	struct atom *atom = list_add(&x->atoms, sizeof(*atom));
	*atom = (struct atom){.kind = kind, .index = (unsigned)index, .values = values};
}

/* What is undecided now, all set to "nothing happened". Sectors first: they are what changes most cheaply. */
static void collect_atoms(struct explorer *x)
{
	x->atoms.count = 0;
	x->length = 0;
	for (size_t i = 0; i < x->sectors.count; i++) {
		struct sector *sector = AT(x->sectors, struct sector, i);
		number_values(x, sector);
		sector->chosen = AT(x->versions, struct version, sector->first);
		if (sector->values > 1)
			add_atom(x, ATOM_SECTOR, i, sector->values);
	}
	for (unsigned i = 0; i < x->erasures.count; i++) {
		struct erasure *erasure = AT(x->erasures, struct erasure, i);
		erasure->chosen = false;
		if (erasure->is_hole && hole_matters(x, i))
			add_atom(x, ATOM_HOLE, i, 2);
	}
	if (x->lengths.count > 1)
		add_atom(x, ATOM_LENGTH, 0, (unsigned)x->lengths.count);
	resolve_all(x);
}

static bool emit(struct explorer *x)
{
	x->state.image = x->image;
	x->state.size = AT(x->lengths, struct length, x->length)->bytes;
	x->result = x->fn(x->arg, &x->state);
	x->state.number++;
	return x->result == 0;
}

static uint64_t combinations(const struct explorer *x, uint64_t limit)
{
	uint64_t product = 1;
	for (size_t i = 0; i < x->atoms.count && product <= limit; i++)
		product *= AT(x->atoms, struct atom, i)->values;
	return product;
}

/* Counts through all combinations, the first atom being the lowest digit. */
static bool try_all(struct explorer *x)
{
	for (;;) {
		if (!emit(x))
			return false;
		size_t i = 0;
		for (; i < x->atoms.count; i++) {
			struct atom *atom = AT(x->atoms, struct atom, i);
			if (atom->value + 1 < atom->values) {
				set_atom(x, atom, atom->value + 1);
				break;
			}
			set_atom(x, atom, 0);
		}
		if (i == x->atoms.count)
			return true;
	}
}

enum which { UP_TO, ALL_BUT, ONLY };

static bool is_in(enum which which, size_t event, size_t chosen)
{
	return event == 0 || (which == UP_TO ? event <= chosen : (event == chosen) == (which == ONLY));
}

/* The atom's value if just these events had happened, in order. */
static unsigned value_after(const struct explorer *x, const struct atom *atom, enum which which,
                            size_t chosen)
{
	unsigned value = 0;
	if (atom->kind == ATOM_HOLE)
		return is_in(which, AT(x->erasures, struct erasure, atom->index)->event, chosen);
	if (atom->kind == ATOM_LENGTH) {
		for (unsigned i = 0; i < x->lengths.count; i++) {
			if (is_in(which, AT(x->lengths, struct length, i)->event, chosen))
				value = i;
		}
		return value;
	}
	const struct sector *sector = AT(x->sectors, struct sector, atom->index);
	for (int v = sector->first; v != NO_SLOT; v = AT(x->versions, struct version, v)->next) {
		const struct version *version = AT(x->versions, struct version, v);
		if (is_in(which, version->event, chosen))
			value = version->value;
	}
	return value;
}

static void set_all(struct explorer *x, enum which which, size_t event)
{
	for (size_t i = 0; i < x->atoms.count; i++) {
		struct atom *atom = AT(x->atoms, struct atom, i);
		set_atom(x, atom, value_after(x, atom, which, event));
	}
}

/* Whole events: each prefix, each missing, each alone. The last prefix is everything, the one before the
 * first event nothing. */
static bool try_events(struct explorer *x, size_t first, size_t last)
{
	for (size_t event = first; event <= last; event++) {
		set_all(x, UP_TO, event);
		if (!emit(x))
			return false;
		if (event == first) /* nothing at all: there is nothing to leave out */
			continue;
		set_all(x, ALL_BUT, event);
		if (!emit(x))
			return false;
		set_all(x, ONLY, event);
		if (!emit(x))
			return false;
	}
	return true;
}

/* One atom as if all had happened and it had not, and the reverse. */
static bool try_singles(struct explorer *x, bool alone)
{
	uint64_t most = x->options.singles, count = x->atoms.count;
	set_all(x, UP_TO, alone ? 0 : SIZE_MAX);
	for (uint64_t i = 0; i < count && (most == 0 || i < most); i++) {
		uint64_t which = most == 0 || count <= most ? i : next_random(x) % count;
		struct atom *atom = AT(x->atoms, struct atom, which);
		unsigned usual = atom->value;
		for (unsigned value = 0; value < atom->values; value++) {
			if (value == usual)
				continue;
			set_atom(x, atom, value);
			if (!emit(x))
				return false;
		}
		set_atom(x, atom, usual);
	}
	return true;
}

/* Few, half or most of the atoms landed: at even odds alone, thousands of atoms would never be nearly all
 * there. */
static bool try_random(struct explorer *x)
{
	for (uint64_t n = 0; n < x->options.samples; n++) {
		uint64_t odds = (uint64_t[]){1, 8, 15}[next_random(x) % 3];
		for (size_t i = 0; i < x->atoms.count; i++) {
			struct atom *atom = AT(x->atoms, struct atom, i);
			bool landed = (next_random(x) >> 20) % 16 < odds;
			unsigned value = atom->values == 2
			                     ? 1
			                     : 1 + (unsigned)((next_random(x) >> 20) % (atom->values - 1));
			set_atom(x, atom, landed ? value : 0);
		}
		if (!emit(x))
			return false;
	}
	return true;
}

/* All states in which the events from `first` on (1 + index; what is older is durable) may or may not have
 * happened. */
static bool explore_point(struct explorer *x, size_t point, size_t first, size_t last)
{
	x->state.point = point;
	collect_atoms(x);
	if (combinations(x, x->options.exhaustive) <= x->options.exhaustive)
		return try_all(x);
	return try_events(x, first - 1, last) && try_singles(x, false) && try_singles(x, true) &&
	       try_random(x);
}

/* Nothing is undecided any more: `durable` and `image` are alike. */
static void settle(struct explorer *x)
{
	for (size_t i = 0; i < x->erasures.count; i++)
		AT(x->erasures, struct erasure, i)->chosen = true;
	x->length = (unsigned)x->lengths.count - 1;
	for (size_t i = 0; i < x->sectors.count; i++) {
		struct sector *sector = AT(x->sectors, struct sector, i);
		sector->chosen = AT(x->versions, struct version, sector->last);
		resolve(x, sector);
	}
	for (size_t i = 0; i < x->sectors.count; i++) {
		uint64_t number = AT(x->sectors, struct sector, i)->number;
		memcpy(x->durable + number * SIM_SECTOR, x->image + number * SIM_SECTOR, SIM_SECTOR);
		x->slots[number] = NO_SLOT;
	}
	x->sectors.count = x->versions.count = x->erasures.count = x->lengths.count = 0;
	*(struct length *)list_add(&x->lengths, sizeof(struct length)) = (struct length){.bytes = x->current};
}

/* The length is durable as it is now, and with it every truncation: no version before one comes back. */
static void settle_length(struct explorer *x)
{
	for (size_t s = 0; s < x->sectors.count; s++) {
		struct sector *sector = AT(x->sectors, struct sector, s);
		uint64_t offset = sector->number * SIM_SECTOR;
		unsigned cut = 0;
		for (unsigned i = 0; i < x->erasures.count; i++) {
			const struct erasure *erasure = AT(x->erasures, struct erasure, i);
			if (!erasure->is_hole && !erasure->dead && erasure->offset <= offset)
				cut = i + 1;
		}
		struct version *durable = AT(x->versions, struct version, sector->first);
		if (durable->erasures >= cut)
			continue;
		memset(x->durable + offset, 0, SIM_SECTOR);
		durable->erasures = cut;
		while (durable->next != NO_SLOT &&
		       AT(x->versions, struct version, durable->next)->erasures < cut)
			durable->next = AT(x->versions, struct version, durable->next)->next;
		if (durable->next == NO_SLOT)
			sector->last = sector->first;
	}
	for (size_t i = 0; i < x->erasures.count; i++) {
		struct erasure *erasure = AT(x->erasures, struct erasure, i);
		erasure->dead = erasure->dead || !erasure->is_hole;
	}
	x->lengths.count = 0;
	*(struct length *)list_add(&x->lengths, sizeof(struct length)) = (struct length){.bytes = x->current};
}

/* A write with sync has returned: its sectors are what it wrote, and the file is long enough for them. */
static void settle_write(struct explorer *x, const struct sim_event *event)
{
	bool length_needed = false;
	for (size_t i = 0; i < x->lengths.count; i++)
		length_needed |= AT(x->lengths, struct length, i)->bytes < event->offset + event->len;
	if (length_needed)
		settle_length(x);
	for (uint64_t at = 0; at < event->len; at += SIM_SECTOR) {
		struct sector *sector = touch(x, (event->offset + at) / SIM_SECTOR);
		struct version *durable = AT(x->versions, struct version, sector->first);
		memcpy(x->durable + event->offset + at, x->trace->bytes + event->data + at, SIM_SECTOR);
		durable->erasures = (unsigned)x->erasures.count;
		durable->next = NO_SLOT;
		sector->last = sector->first;
	}
}

static bool explore_trace(struct explorer *x)
{
	size_t count = x->trace->count, first = 1;
	for (size_t i = 0; i < count; i++) {
		const struct sim_event *event = &x->trace->events[i];
		/* Before a flush ends, and inside a write with sync, as many events have ended as before it.
		 */
		if (event->kind == SIM_FLUSH) {
			if (!explore_point(x, i, first, i))
				return false;
			settle(x);
			first = i + 2;
			continue;
		}
		if (x->options.every_point && !explore_point(x, i, first, i))
			return false;
		add_event(x, i);
		if (event->kind != SIM_WRITE || !event->sync)
			continue;
		if (!explore_point(x, i, first, i + 1))
			return false;
		settle_write(x, event);
	}
	return explore_point(x, count, first, count);
}

static uint64_t longest(uint64_t size, const struct sim_trace *trace)
{
	for (size_t i = 0; i < trace->count; i++) {
		const struct sim_event *event = &trace->events[i];
		uint64_t end = event->kind == SIM_PUNCH ? 0 : event->offset + event->len;
		if (end > size)
			size = end;
	}
	return (size + SIM_SECTOR - 1) / SIM_SECTOR * SIM_SECTOR;
}

static void start(struct explorer *x, const void *image, uint64_t size)
{
	assert(size % SIM_SECTOR == 0);
	uint64_t sectors = x->room / SIM_SECTOR;
	x->durable = calloc(1, x->room + 1);
	x->image = calloc(1, x->room + 1);
	x->slots = malloc((sectors + 1) * sizeof(int));
	if (!x->durable || !x->image || !x->slots)
		abort();
	if (size > 0) {
		memcpy(x->durable, image, size);
		memcpy(x->image, image, size);
	}
	for (uint64_t i = 0; i < sectors; i++)
		x->slots[i] = NO_SLOT;
	*(struct length *)list_add(&x->lengths, sizeof(struct length)) = (struct length){.bytes = size};
}

uint64_t crash_explore(const void *image, uint64_t size, const struct sim_trace *trace,
                       const struct crash_options *options, crash_fn fn, void *arg, int *result)
{
	struct explorer x = {
	    .trace = trace, .fn = fn, .arg = arg, .current = size, .room = longest(size, trace)};
	if (options)
		x.options = *options;
	x.options.exhaustive = x.options.exhaustive ? x.options.exhaustive : DEFAULT_EXHAUSTIVE;
	x.options.samples = x.options.samples ? x.options.samples : DEFAULT_SAMPLES;
	x.random = x.options.seed * 2654435769U + 88172645463325252U;
	start(&x, image, size);
	explore_trace(&x);
	if (result)
		*result = x.result;
	free(x.durable);
	free(x.image);
	free(x.slots);
	free(x.sectors.items);
	free(x.versions.items);
	free(x.erasures.items);
	free(x.lengths.items);
	free(x.atoms.items);
	return x.state.number;
}
