/* What a process used between two moments: time, calls, flushes, bytes. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/harness.h"

const struct figure_info figure_infos[FIGURE_KINDS] = {
#define FIGURE_INFO(id, name, unit, more) [id] = {name, unit, more},
    FIGURES(FIGURE_INFO)
#undef FIGURE_INFO
};

const struct figure_info *figure_named(const char *name)
{
	for (unsigned i = 0; i < FIGURE_KINDS; i++) {
		if (!strcmp(figure_infos[i].name, name))
			return &figure_infos[i];
	}
	return &figure_infos[0];
}

void slice_clear(struct slice *s)
{
	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < FIGURE_KINDS; i++)
		s->figure[i] = NAN;
}

/* Bytes that the folder's device has read and written. What a process is said to have written is of no use: a
 * page that is made dirty again counts again, and as its whole folio. So nothing else may write to the device
 * during a run. */
static void disk_bytes_now(const struct job *j, uint64_t *read, uint64_t *written)
{
	unsigned long long in = 0, out = 0;
	FILE *f = j->disk[0] ? fopen(j->disk, "r") : NULL;
	if (f && fscanf(f, "%*u %*u %llu %*u %*u %*u %llu", &in, &out) != 2)
		in = out = 0;
	if (f)
		fclose(f);
	*read = in * 512;
	*written = out * 512;
}

static double seconds_of(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

struct usage usage_now(const struct job *j)
{
	struct usage u = {0};
	struct rusage r;
	struct peer_counts own = {0};
	struct call_counts seen = call_counts();
	getrusage(RUSAGE_SELF, &r);
	if (j->peer->counts && j->store)
		j->peer->counts(j->store, &own);
	u.calls = seen.calls + own.calls;
	u.flushes = seen.flushes + own.flushes;
	u.switches = (uint64_t)r.ru_nvcsw;
	u.cpu = seconds_of(r.ru_utime) + seconds_of(r.ru_stime);
	disk_bytes_now(j, &u.read, &u.written);
	u.wall = now();
	return u;
}

static double share(uint64_t before, uint64_t after, uint64_t of)
{
	return after >= before && of ? (double)(after - before) / (double)of : NAN;
}

void usage_figures(const struct usage *before, const struct usage *after, uint64_t ops, uint64_t user_bytes,
                   struct slice *out)
{
	if (!ops)
		return;
	double *f = out->figure;
	if (isnan(f[FIG_RATE]))
		f[FIG_RATE] = (double)ops / (after->wall - before->wall);
	if (isnan(f[FIG_CPU]))
		f[FIG_CPU] = (after->cpu - before->cpu) * 1e9 / (double)ops;
	f[FIG_CALLS] = share(before->calls, after->calls, ops);
	f[FIG_FLUSHES] = share(before->flushes, after->flushes, ops);
	f[FIG_SWITCHES] = share(before->switches, after->switches, ops);
	if (after->written) {
		f[FIG_READ] = share(before->read, after->read, ops);
		f[FIG_WRITTEN] = share(before->written, after->written, user_bytes);
	}
}

void latency_figures(const struct histogram *h, struct slice *out)
{
	if (!h->total)
		return;
	out->latency = *h;
	out->figure[FIG_P50] = (double)histogram_at(h, 0.5) * 1e-3;
	out->figure[FIG_P99] = (double)histogram_at(h, 0.99) * 1e-3;
	out->figure[FIG_P999] = (double)histogram_at(h, 0.999) * 1e-3;
	out->figure[FIG_MOST] = (double)h->most * 1e-3;
}

double resident_mib(void)
{
	unsigned long long total, resident;
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f)
		return NAN;
	int n = fscanf(f, "%llu %llu", &total, &resident);
	fclose(f);
	return n == 2 ? (double)resident * (double)sysconf(_SC_PAGESIZE) / (1 << 20) : NAN;
}
