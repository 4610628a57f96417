#include "cli/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { ESTIMATE_MOST_S = 100 * 3600 };

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool on_terminal(void)
{
	const char *term = getenv("TERM");

	return isatty(STDERR_FILENO) && (term == NULL || strcmp(term, "dumb") != 0);
}

bool progress_wanted(const struct cli *cli)
{
	return !cli->quiet && !cli->no_progress && on_terminal();
}

void progress_begin(struct cli_progress *p, struct cli *cli, const char *what, uint64_t total)
{
	const char *no_color = getenv("NO_COLOR");

	*p = (struct cli_progress){.what = what, .total = total, .started = now_s()};
	p->bar = progress_wanted(cli);
	p->lines = !p->bar && !cli->quiet && !cli->no_progress;
	p->colour = p->bar && (no_color == NULL || no_color[0] == '\0');
	p->drawn = p->started;
	cli->progress = p;
}

static int columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return 80;
}

static void time_text(double seconds, char out[32])
{
	unsigned long s = seconds > 359999 ? 359999 : (unsigned long)(seconds + 0.5);

	if (s >= 3600)
		snprintf(out, 32, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
	else
		snprintf(out, 32, "%lu:%02lu", s / 60, s % 60);
}

static const char *amount(const struct cli_progress *p, uint64_t n, char out[32])
{
	if (p->unit == NULL)
		return cli_size_text(n, out);
	(void)snprintf(out, 32, "%llu", (unsigned long long)n);
	return out;
}

/* From a hundredth on what is done tells how long the rest takes; days are no answer. */
static bool can_estimate(const struct cli_progress *p, double rate)
{
	return p->done >= p->total / 100 && (double)(p->total - p->done) < rate * ESTIMATE_MOST_S;
}

/* "12.0 MiB of 40.0 MiB, 6.1 MiB/s, 0:05 left" */
static void figures(const struct cli_progress *p, double now, char *out, size_t size)
{
	double elapsed = now - p->started > 0.001 ? now - p->started : 0.001;
	double rate = (double)(p->done - (p->found < p->done ? p->found : p->done)) / elapsed;
	char done[32], total[32], number[32], time[32], speed[48] = "", left[48] = "";
	const char *space = p->unit != NULL ? " " : "", *unit = p->unit != NULL ? p->unit : "";

	amount(p, p->done, done);
	if (rate >= 1)
		(void)snprintf(speed, sizeof(speed), ", %s/s", amount(p, (uint64_t)rate, number));
	if (p->total == 0 || p->done > p->total) {
		snprintf(out, size, "%s%s%s%s%s", done, space, unit, speed, p->note);
		return;
	}
	amount(p, p->total, total);
	if (can_estimate(p, rate)) {
		time_text((double)(p->total - p->done) / rate, time);
		(void)snprintf(left, sizeof(left), ", %s left", time);
	}
	snprintf(out, size, "%s of %s%s%s%s%s%s", done, total, space, unit, speed, left, p->note);
}

/* Whole figures only: those at the end go first. */
static void shorten(char *line, size_t room)
{
	char *comma;

	while (strlen(line) > room && (comma = strrchr(line, ',')) != NULL)
		*comma = '\0';
	if (strlen(line) > room)
		line[room] = '\0';
}

/* No room for a bar, or no end to draw it to. */
static void draw_line(const struct cli_progress *p, int room, const char *text)
{
	char line[256];

	if (p->total == 0 || p->done > p->total)
		snprintf(line, sizeof(line), "%s: %s", p->what, text);
	else
		snprintf(line, sizeof(line), "%s: %d%%, %s", p->what,
		         (int)((double)p->done * 100 / (double)p->total), text);
	shorten(line, room > 0 ? (size_t)room : 0);
	fprintf(stderr, "\r\033[K%s", line);
}

static void draw_bar(struct cli_progress *p, double now)
{
	char text[192], cells[64];
	int room = columns() - 1, width, filled = 0;

	figures(p, now, text, sizeof(text));
	width = room - (int)strlen(p->what) - (int)strlen(text) - 11;
	width = width > 40 ? 40 : width;
	if (p->total == 0 || p->done > p->total || width < 5) {
		draw_line(p, room, text);
	} else {
		filled = (int)((double)p->done / (double)p->total * width);
		memset(cells, '.', sizeof(cells));
		memset(cells, '#', (size_t)filled);
		fprintf(stderr, "\r\033[K%s [%s%.*s%s%.*s] %3d%% %s", p->what, p->colour ? "\033[32m" : "",
		        filled, cells, p->colour ? "\033[0m" : "", width - filled, cells + filled,
		        (int)((double)p->done * 100 / (double)p->total), text);
	}
	fflush(stderr);
	p->shown = true;
}

void progress_update(struct cli_progress *p, uint64_t done)
{
	char text[192];
	double now;

	p->done = done;
	if (!p->bar && !p->lines)
		return;
	now = now_s();
	if (now - p->drawn < (p->bar ? 0.1 : 10))
		return;
	p->drawn = now;
	if (p->bar) {
		draw_bar(p, now);
		return;
	}
	figures(p, now, text, sizeof(text));
	fprintf(stderr, "padstone: %s: %s\n", p->what, text);
}

void progress_clear(struct cli_progress *p)
{
	if (p->shown) {
		fputs("\r\033[K", stderr);
		fflush(stderr);
	}
	p->shown = false;
}

void progress_end(struct cli_progress *p, struct cli *cli)
{
	progress_clear(p);
	cli->progress = NULL;
}

int progress_callback(void *arg, const struct ps_progress *progress)
{
	struct cli_progress *p = arg;

	p->total = progress->total;
	progress_update(p, progress->done);
	return cli_interrupted() ? 1 : 0;
}
