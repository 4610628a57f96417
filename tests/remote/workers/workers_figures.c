/* Figures of the workers: what a task costs by itself, and sealing on all processors against the bare calls.
 * usage: workers_figures */
#include <sched.h>
#include <sodium.h>
#include <time.h>

#include "fixture.h"

enum { TASKS = 200000, PAD = 2 << 20, PADS = 128 };

static double now_s(void)
{
	return (double)ps_clock_now(&ps_system_clock) / (double)PS_SECOND_NS;
}

static double cpu_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- a network that has always answered already ---- */

struct instant_client {
	ps_client client;
	struct ps_net_request *first, **end;
};

static void instant_close(ps_client *client)
{
	free(client);
}

static void instant_submit(ps_client *client, struct ps_net_request *request)
{
	struct instant_client *c = (struct instant_client *)(void *)client;
	request->outcome = PS_NET_DONE;
	request->next = NULL;
	*c->end = request;
	c->end = &request->next;
}

static struct ps_net_request *instant_wait(ps_client *client, uint32_t timeout_ms)
{
	struct instant_client *c = (struct instant_client *)(void *)client;
	struct ps_net_request *request = c->first;
	(void)timeout_ms;
	c->first = request->next;
	if (!c->first)
		c->end = &c->first;
	return request;
}

static void instant_cancel(ps_client *client, struct ps_net_request *request)
{
	(void)client, (void)request;
}

static void instant_wake(ps_client *client)
{
	(void)client;
}

static const struct ps_client_ops instant_client_ops = {instant_close, instant_submit, instant_wait,
                                                        instant_cancel, instant_wake};

static int instant_client_open(ps_network *network, ps_client **client)
{
	struct instant_client *c = calloc(1, sizeof(*c));
	(void)network;
	c->client.ops = &instant_client_ops;
	c->end = &c->first;
	*client = &c->client;
	return PS_OK;
}

static int instant_open(const char *rest, const struct ps_network_options *options, ps_network **network)
{
	(void)rest, (void)options, (void)network;
	return PS_ENOTSUP;
}

static void instant_network_close(ps_network *network)
{
	(void)network;
}

static const struct ps_network_ops instant_ops = {"instant", instant_open, instant_network_close,
                                                  instant_client_open};

/* ---- tasks ---- */

struct work {
	struct ps_task task;
	bool seals;
	struct ps_memory *memory;
};

static void fake_seal(uint8_t *to, const uint8_t *from)
{
	static const uint8_t key[crypto_aead_xchacha20poly1305_ietf_KEYBYTES] = {1};
	static const uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES] = {2};
	enum { SEGMENT = 64 << 10, TAG = crypto_aead_xchacha20poly1305_ietf_ABYTES };
	for (size_t i = 0; i < PAD / SEGMENT; i++)
		crypto_aead_xchacha20poly1305_ietf_encrypt(to + i * (SEGMENT + TAG), NULL, from + i * SEGMENT,
		                                           SEGMENT, NULL, 0, NULL, nonce, key);
}

static uint8_t source[PAD];

static int work_prepare(struct ps_task *task)
{
	struct work *work = (struct work *)(void *)task;
	task->request.op = work->seals ? PS_NET_CREATE : PS_NET_HEAD;
	task->request.identity.counter = 1;
	if (!work->seals)
		return PS_OK;
	task->request.buffer = ps_net_buffer_new(work->memory, PAD + 4096);
	task->request.buffer->len = PAD + 512;
	fake_seal(task->request.buffer->bytes, source);
	return PS_OK;
}

static enum ps_task_answer work_finish(struct ps_task *task, struct ps_net_request *request)
{
	(void)task, (void)request;
	return PS_TASK_DONE;
}

static void work_ended(struct ps_task *task)
{
	ps_net_buffer_release(task->request.buffer);
}

static const struct ps_task_ops work_ops = {work_prepare, work_finish, work_ended};

static void run(uint32_t threads, unsigned count, bool seals, double *took, double *cpu)
{
	struct ps_network_options net = {.size = sizeof(net), .depth = 10, .timeout_ms = 60000};
	struct ps_workers_options options = {.size = sizeof(options), .threads = threads};
	struct work *work = calloc(count, sizeof(*work));
	struct ps_memory memory;
	ps_network *network;
	ps_workers *workers;
	ps_group *group;
	ps_memory_init(&memory, NULL);
	OK(ps_network_new(&instant_ops, sizeof(*network), "", &net, &network));
	network->largest = (uint64_t)16 << 20;
	OK(ps_workers_new(network, &options, &workers));
	OK(ps_group_new(workers, NULL, &group));
	double began = now_s(), began_cpu = cpu_s();
	for (unsigned i = 0; i < count; i++) {
		work[i] = (struct work){
		    .task = {.ops = &work_ops, .bytes = seals ? PAD : 0}, .seals = seals, .memory = &memory};
		OK(ps_group_add(group, &work[i].task));
	}
	OK(ps_group_wait(group));
	*took = now_s() - began;
	*cpu = cpu_s() - began_cpu;
	ps_group_free(group);
	OK(ps_workers_free(workers));
	ps_network_close(network);
	ps_memory_done(&memory);
	free(work);
}

struct bare {
	pthread_t thread;
	unsigned pads;
};

static void *seal_bare(void *arg)
{
	struct bare *bare = arg;
	uint8_t *to = malloc(PAD + 4096);
	for (unsigned i = 0; i < bare->pads; i++)
		fake_seal(to, source);
	free(to);
	return NULL;
}

static double run_bare(unsigned threads, double *cpu)
{
	struct bare bare[64];
	double began = now_s(), began_cpu = cpu_s();
	for (unsigned i = 0; i < threads; i++) {
		bare[i].pads = PADS / threads;
		pthread_create(&bare[i].thread, NULL, seal_bare, &bare[i]);
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(bare[i].thread, NULL);
	*cpu = cpu_s() - began_cpu;
	return now_s() - began;
}

int main(void)
{
	double took, cpu;
	cpu_set_t set;
	unsigned processors = sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
	if (sodium_init() < 0)
		return 1;
	for (uint32_t threads = 1; threads <= 8; threads *= 2) {
		run(threads, TASKS, false, &took, &cpu);
		print_message("%u workers: a task takes %.2f us, %.2f us of processor time\n", threads,
		              took / TASKS * 1e6, cpu / TASKS * 1e6);
	}
	/* In turns, and the best of each: others may use the processors. */
	double bare = 1e9, bare_cpu = 1e9, best = 1e9, best_cpu = 1e9;
	for (int i = 0; i < 7; i++) {
		took = run_bare(processors, &cpu);
		bare = took < bare ? took : bare;
		bare_cpu = cpu < bare_cpu ? cpu : bare_cpu;
		run(processors, PADS, true, &took, &cpu);
		best = took < best ? took : best;
		best_cpu = cpu < best_cpu ? cpu : best_cpu;
	}
	print_message("256 MiB sealed on %u processors: bare %.0f MiB/s, workers %.0f MiB/s, ratio %.3f; of "
	              "processor time %.3f\n",
	              processors, 256 / bare, 256 / best, bare / best, bare_cpu / best_cpu);
	return 0;
}
