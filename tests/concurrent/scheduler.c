#include "tests/concurrent/scheduler.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "base/sync.h"
#include "base/thread_index.h"

enum { STACK_BYTES = 512 << 10, STEPS_MAX = 4096, OPTIONS_MAX = 2 * SCHEDULE_THREADS };

enum thread_state { THREAD_READY, THREAD_AT_LATCH, THREAD_ASLEEP, THREAD_ENDED };

static struct thread {
	ucontext_t context;
	enum thread_state state;
	struct sync_latch *latch; /* that it waits for */
	struct sync_place *place;
	bool timed, timed_out;
	struct thread_self self;
	_Alignas(16) unsigned char stack[STACK_BYTES];
} threads[SCHEDULE_THREADS];

static ucontext_t main_context;
static const struct scenario *scenario;
static unsigned running, bound, used;
static bool exploring;
static const char *wrong;
static void (*interrupted)(void);
static bool crossed;

/* The choices of this order; those before `depth` were made by the one before it and are made again. */
static struct choice {
	uint8_t taken, options;
} choices[STEPS_MAX];
static unsigned depth, steps;
static uint64_t orders;

unsigned schedule_thread(void)
{
	return running;
}

bool schedule_is_exploring(void)
{
	return exploring;
}

void schedule_on_interrupt(void (*fn)(void))
{
	interrupted = fn;
}

void schedule_let_cross(void)
{
	crossed = true;
}

void schedule_fail(const char *what)
{
	if (!wrong)
		wrong = what;
}

/* ---- choosing ---- */

static bool can_run(const struct thread *t)
{
	switch (t->state) {
	case THREAD_READY:
		return true;
	case THREAD_AT_LATCH:
		return !(atomic_load(&t->latch->word) & SYNC_LATCH_TAKEN);
	case THREAD_ASLEEP:
		return atomic_load(&t->place->woken) != 0;
	default:
		return false;
	}
}

static unsigned choose(unsigned options)
{
	assert(steps < STEPS_MAX);
	if (steps == depth)
		choices[depth++] = (struct choice){0, (uint8_t)options};
	assert(choices[steps].options == options);
	return choices[steps++].taken;
}

struct option {
	uint8_t thread;
	bool times_out;
};

static unsigned list_options(struct option *options, bool stay, bool may_preempt, bool may_time_out)
{
	unsigned n = 0;
	if (stay)
		options[n++] = (struct option){(uint8_t)running, false};
	for (unsigned t = 0; t < SCHEDULE_THREADS && (!stay || may_preempt); t++) {
		if ((!stay || t != running) && can_run(&threads[t]))
			options[n++] = (struct option){(uint8_t)t, false};
	}
	for (unsigned t = 0; t < SCHEDULE_THREADS && may_time_out; t++) {
		if (threads[t].state == THREAD_ASLEEP && threads[t].timed && !can_run(&threads[t]))
			options[n++] = (struct option){(uint8_t)t, true};
	}
	return n;
}

static void switch_to(const struct option *option)
{
	unsigned from = running;
	running = option->thread;
	threads[running].timed_out = option->times_out;
	threads[running].state = THREAD_READY;
	if (from != running)
		swapcontext(&threads[from].context, &threads[running].context);
}

/* The running thread has a step to do: another one may go first. */
void sync_step(void)
{
	struct option options[OPTIONS_MAX];
	if (!exploring || wrong)
		return;
	bool may = used < bound;
	unsigned n = list_options(options, true, may, may);
	unsigned taken = n > 1 ? choose(n) : 0;
	if (taken == 0)
		return;
	used++;
	switch_to(&options[taken]);
}

/* The running thread cannot go on, or has ended. Once something is wrong the order is left where it stands.
 */
static void yield_blocked(void)
{
	struct option options[OPTIONS_MAX];
	unsigned n = wrong ? 0 : list_options(options, false, true, used < bound);
	bool forced = n == 0 && !wrong;
	if (forced)
		n = list_options(options, false, true, true);
	if (forced && n > 0 && !crossed)
		wrong = "nobody wakes who waits";
	if (n == 0 || wrong) {
		for (unsigned t = 0; t < SCHEDULE_THREADS && !wrong; t++) {
			if (threads[t].state != THREAD_ENDED)
				wrong = "deadlock";
		}
		setcontext(&main_context);
	}
	unsigned taken = n > 1 ? choose(n) : 0;
	if (options[taken].times_out && !forced)
		used++;
	switch_to(&options[taken]);
}

void schedule_yield(void)
{
	struct option options[OPTIONS_MAX];
	unsigned n = 0;
	if (!exploring || wrong)
		return;
	for (unsigned t = 0; t < SCHEDULE_THREADS; t++) {
		if (t != running && can_run(&threads[t]))
			options[n++] = (struct option){(uint8_t)t, false};
	}
	if (n > 0)
		switch_to(&options[n > 1 ? choose(n) : 0]);
}

unsigned schedule_choose(unsigned options)
{
	return options > 1 && !wrong ? choose(options) : 0;
}

/* ---- what base/sync.h asks for ---- */

void sync_latch_take_counting(struct sync_latch *latch, uint32_t more)
{
	sync_step();
	while (exploring && atomic_load(&latch->word) & SYNC_LATCH_TAKEN) {
		threads[running].state = THREAD_AT_LATCH;
		threads[running].latch = latch;
		yield_blocked();
	}
	atomic_store(&latch->word, (atomic_load(&latch->word) | SYNC_LATCH_TAKEN) + more * SYNC_LATCH_ONE);
}

void sync_latch_drop(struct sync_latch *latch)
{
	sync_step();
	atomic_store(&latch->word, atomic_load(&latch->word) & ~(uint32_t)SYNC_LATCH_TAKEN);
}

bool sync_sleep(struct sync_place *place, uint64_t deadline_ns)
{
	sync_step();
	struct thread *self = &threads[running];
	self->timed_out = false;
	if (!atomic_load(&place->woken)) {
		self->state = THREAD_ASLEEP;
		self->place = place;
		self->timed = deadline_ns != SYNC_NO_DEADLINE;
		yield_blocked();
	}
	return atomic_load(&place->woken) != 0;
}

void sync_wake(struct sync_place *place)
{
	sync_step();
	atomic_store(&place->woken, 1);
	sync_step();
}

uint64_t sync_now(void)
{
	return 1;
}

bool sync_can_interrupt(void)
{
	return true;
}

void sync_interrupt_threads(void)
{
	sync_step();
	if (interrupted)
		interrupted();
}

const struct thread_self *thread_self(void)
{
	return &threads[running].self;
}

/* ---- orders ---- */

static void thread_main(void)
{
	scenario->thread[running]();
	threads[running].state = THREAD_ENDED;
	yield_blocked();
}

static void run_order(void)
{
	running = 0;
	used = steps = 0;
	exploring = crossed = false;
	scenario->begin();
	for (unsigned t = 0; t < SCHEDULE_THREADS; t++) {
		struct thread *thread = &threads[t];
		thread->state = scenario->thread[t] ? THREAD_READY : THREAD_ENDED;
		thread->self = (struct thread_self){.number = t + 1, .index = t};
		getcontext(&thread->context);
		thread->context.uc_stack =
		    (stack_t){.ss_sp = thread->stack, .ss_size = sizeof(thread->stack)};
		makecontext(&thread->context, thread_main, 0);
	}
	exploring = true;
	static volatile bool back;
	back = false;
	getcontext(&main_context);
	if (!back) {
		struct option options[OPTIONS_MAX];
		back = true;
		/* Any of them may be the first. */
		running = SCHEDULE_THREADS;
		unsigned n = list_options(options, false, true, false);
		running = options[n > 1 ? choose(n) : 0].thread;
		setcontext(&threads[running].context);
	}
	exploring = false;
	running = 0;
	if (!wrong && !scenario->end())
		wrong = "the end state";
}

/* The next order: the last choice that has another option takes it. */
static bool next_order(void)
{
	while (depth > 0) {
		if (++choices[depth - 1].taken < choices[depth - 1].options)
			return true;
		depth--;
	}
	return false;
}

static void print_order(void)
{
	fprintf(stderr, "%s: %s; choices:", scenario->name, wrong);
	for (unsigned i = 0; i < steps; i++)
		fprintf(stderr, " %u/%u", choices[i].taken, choices[i].options);
	fprintf(stderr, "\n");
}

bool schedule_explore(const struct scenario *s, unsigned preemptions)
{
	scenario = s;
	bound = preemptions;
	depth = 0;
	orders = 0;
	wrong = NULL;
	do {
		run_order();
		orders++;
	} while (!wrong && next_order());
	printf("%s: %" PRIu64 " orders, %s\n", s->name, orders, wrong ? wrong : "none of them wrong");
	if (wrong && !s->broken)
		print_order();
	return (wrong != NULL) == s->broken;
}

bool schedule_explore_all(const struct scenario *scenarios, size_t count, int argc, char **argv)
{
	unsigned preemptions = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 2;
	bool good = true;
	printf("every order with up to %u preemptions\n", preemptions);
	for (size_t i = 0; i < count; i++) {
		if (argc > 2 && !strstr(scenarios[i].name, argv[2]))
			continue;
		good &= schedule_explore(&scenarios[i], preemptions);
	}
	return good;
}
