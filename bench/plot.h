/* Plots as inline SVG. Colours are classes that the page's style sheet defines for light and dark. */
#ifndef PS_BENCH_PLOT_H
#define PS_BENCH_PLOT_H

#include <stdbool.h>
#include <stdio.h>

enum { POINTS_MOST = 24, SERIES_MOST = 20, STYLES = 13 };

struct series {
	const char *name;
	unsigned style; /* below STYLES; 0 and the last are what the page is about, 1 the limit */
	unsigned n;
	double x[POINTS_MOST], y[POINTS_MOST];
};

struct tick {
	double at;
	const char *text;
};

struct plot {
	const char *title, *unit;
	const struct tick *ticks; /* of x */
	unsigned tick_count;
	bool log_y;
	const struct series *series;
	unsigned series_count;
};
void plot_lines(FILE *f, const struct plot *p);

/* A dot a row on one logarithmic axis, with its range. */
struct dot {
	const char *name;
	unsigned style;
	double value, least, most;
	const char *note; /* behind the value; "" for none */
};
/* `limit` and `target` are lines across all rows where they are finite. */
void plot_dots(FILE *f, const char *title, const char *unit, const struct dot *dots, unsigned n, double limit,
               double target);

void html_text(FILE *f, const char *text);
/* As "1.2M", "35k", "0.12". */
const char *plot_number(double value, char *text, size_t len);

#endif
