#include <math.h>
#include <string.h>

#include "bench/plot.h"

/* 420 units wide: on a phone of 360 points letters keep six sevenths of their size, and a desktop has two
 * columns. */
enum {
	WIDTH = 420,
	LEFT = 46,
	RIGHT = 8,
	TOP = 10,
	BOTTOM = 24,
	HEIGHT = 230,
	DOT_ROW = 19,
	DOT_LEFT = 82,
	DOT_RIGHT = 104
};

void html_text(FILE *f, const char *text)
{
	for (; *text; text++) {
		if (*text == '<')
			fputs("&lt;", f);
		else if (*text == '>')
			fputs("&gt;", f);
		else if (*text == '&')
			fputs("&amp;", f);
		else if (*text == '"')
			fputs("&quot;", f);
		else
			fputc(*text, f);
	}
}

const char *plot_number(double value, char *text, size_t len)
{
	static const char *const units[] = {"", "k", "M", "G"};
	unsigned unit = 0;
	for (; fabs(value) >= 999.5 && unit < 3; unit++)
		value /= 1000;
	int digits = fabs(value) >= 99.5 ? 0 : fabs(value) >= 9.95 ? 1 : 2;
	snprintf(text, len, "%.*f", digits, value);
	if (strchr(text, '.')) {
		size_t n = strlen(text);
		while (text[n - 1] == '0')
			text[--n] = 0;
		if (text[n - 1] == '.')
			text[--n] = 0;
	}
	if (value != 0 && fabs(value) < 0.01)
		snprintf(text, len, "%.1e", value);
	size_t n = strlen(text);
	snprintf(text + n, len - n, "%s", units[unit]);
	return text;
}

struct scale {
	double low, high; /* of the data, or of its logarithm */
	double from, to;  /* where they lie */
	bool logarithmic;
};

static double place(const struct scale *s, double value)
{
	double v = s->logarithmic ? log10(value) : value;
	return s->from + (v - s->low) / (s->high - s->low) * (s->to - s->from);
}

static struct scale scale_over(double low, double high, bool logarithmic)
{
	struct scale s = {.logarithmic = logarithmic};
	if (logarithmic) {
		s.low = floor(log10(low) * 2) / 2;
		s.high = ceil(log10(high) * 2) / 2;
	} else {
		double step = pow(10, floor(log10(high > 0 ? high : 1)));
		s.low = 0;
		s.high = ceil(high / step * 2) * step / 2;
	}
	if (s.high - s.low < 0.5)
		s.high = s.low + 0.5;
	return s;
}

/* ---- axes ---- */

static void y_line(FILE *f, const struct scale *s, double value)
{
	char text[32];
	double y = place(s, value);
	fprintf(f, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, WIDTH - RIGHT,
	        y, y);
	fprintf(f, "<text class=\"axis\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", LEFT - 5,
	        y + 4, plot_number(value, text, sizeof(text)));
}

static void y_axis(FILE *f, const struct scale *s)
{
	if (!s->logarithmic) {
		for (int i = 0; i <= 4; i++)
			y_line(f, s, s->low + (s->high - s->low) * i / 4);
		return;
	}
	double decades = s->high - s->low;
	int step = decades > 7 ? 2 : 1;
	for (int power = (int)ceil(s->low); power <= (int)floor(s->high); power += step) {
		y_line(f, s, pow(10, power));
		if (decades <= 2 && power + 0.5 <= s->high)
			y_line(f, s, 3 * pow(10, power));
	}
}

static void begin(FILE *f, const char *title, const char *unit, int height)
{
	fprintf(f, "<figure><figcaption>");
	html_text(f, title);
	fprintf(f, " <span>");
	html_text(f, unit);
	fprintf(f, "</span></figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH,
	        height);
	html_text(f, title);
	fprintf(f, "\">\n");
}

/* ---- lines ---- */

static void bounds(const struct plot *p, double *low, double *high)
{
	*low = INFINITY;
	*high = -INFINITY;
	for (unsigned i = 0; i < p->series_count; i++) {
		for (unsigned k = 0; k < p->series[i].n; k++) {
			*low = fmin(*low, p->series[i].y[k]);
			*high = fmax(*high, p->series[i].y[k]);
		}
	}
}

static void draw_series(FILE *f, const struct series *s, const struct scale *x, const struct scale *y)
{
	char text[32];
	fprintf(f, "<polyline class=\"line s%u\" points=\"", s->style);
	for (unsigned k = 0; k < s->n; k++)
		fprintf(f, "%.1f,%.1f ", place(x, s->x[k]), place(y, s->y[k]));
	fprintf(f, "\"/>\n");
	for (unsigned k = 0; k < s->n; k++) {
		fprintf(f, "<circle class=\"mark s%u\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"><title>", s->style,
		        place(x, s->x[k]), place(y, s->y[k]), s->style ? "2" : "3");
		html_text(f, s->name);
		fprintf(f, ": %s</title></circle>\n", plot_number(s->y[k], text, sizeof(text)));
	}
}

static void legend(FILE *f, const struct plot *p)
{
	fprintf(f, "<div class=\"legend\">");
	for (unsigned i = 0; i < p->series_count; i++) {
		fprintf(f,
		        "<span><svg viewBox=\"0 0 18 8\"><line class=\"line s%u\" x1=\"0\" x2=\"18\" "
		        "y1=\"4\" y2=\"4\"/></svg>",
		        p->series[i].style);
		html_text(f, p->series[i].name);
		fprintf(f, "</span> ");
	}
	fprintf(f, "</div>");
}

void plot_lines(FILE *f, const struct plot *p)
{
	double low, high;
	bounds(p, &low, &high);
	if (!p->series_count || !p->tick_count || !isfinite(low) || (p->log_y && low <= 0))
		return;
	struct scale y = scale_over(low, high, p->log_y),
	             x = {.low = p->ticks[0].at, .high = p->ticks[p->tick_count - 1].at};
	y.from = HEIGHT - BOTTOM;
	y.to = TOP;
	x.from = LEFT + 12;
	x.to = WIDTH - RIGHT - 18;
	if (x.high <= x.low)
		x.high = x.low + 1;
	begin(f, p->title, p->unit, HEIGHT);
	y_axis(f, &y);
	for (unsigned i = 0; i < p->tick_count; i++)
		fprintf(f, "<text class=\"axis\" x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%s</text>\n",
		        i + 1 < p->tick_count ? place(&x, p->ticks[i].at) : WIDTH - RIGHT, HEIGHT - 6,
		        i + 1 < p->tick_count ? "middle" : "end", p->ticks[i].text);
	/* The first series is drawn last: nothing lies over it. */
	for (unsigned i = p->series_count; i--;)
		draw_series(f, &p->series[i], &x, &y);
	fprintf(f, "</svg>");
	legend(f, p);
	fprintf(f, "</figure>\n");
}

/* ---- dots ---- */

static void across(FILE *f, const struct scale *x, double value, const char *class, int height)
{
	if (isfinite(value) && value > 0)
		fprintf(f,
		        "<line class=\"%s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" "
		        "y2=\"%d\"><title>%s</title></line>\n",
		        class, place(x, value), place(x, value), TOP, height - BOTTOM, class);
}

static void draw_dot(FILE *f, const struct dot *d, const struct scale *x, int y)
{
	char text[32];
	const char *strong = d->style == 0 || d->style == STYLES - 1 ? " strong" : "";
	fprintf(f, "<text class=\"name%s\" x=\"%d\" y=\"%d\" text-anchor=\"end\">", strong, DOT_LEFT - 8,
	        y + 4);
	html_text(f, d->name);
	fprintf(f, "</text><line class=\"range s%u\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", d->style,
	        place(x, d->least), place(x, d->most), y, y);
	fprintf(f, "<circle class=\"mark s%u\" cx=\"%.1f\" cy=\"%d\" r=\"4.5\"/>", d->style,
	        place(x, d->value), y);
	fprintf(f, "<text class=\"value%s\" x=\"%d\" y=\"%d\">%s ", strong, WIDTH - DOT_RIGHT + 12, y + 4,
	        plot_number(d->value, text, sizeof(text)));
	html_text(f, d->note);
	fprintf(f, "</text>\n");
}

void plot_dots(FILE *f, const char *title, const char *unit, const struct dot *dots, unsigned n, double limit,
               double target)
{
	double low = isfinite(target) ? target : INFINITY, high = isfinite(target) ? target : 0;
	char text[32];
	int height = TOP + BOTTOM + (int)n * DOT_ROW;
	for (unsigned i = 0; i < n; i++) {
		low = fmin(low, dots[i].least);
		high = fmax(high, dots[i].most);
	}
	if (!n || !(low > 0))
		return;
	struct scale x = scale_over(low, high, true);
	x.from = DOT_LEFT;
	x.to = WIDTH - DOT_RIGHT;
	begin(f, title, unit, height);
	int step = x.high - x.low > 4 ? 2 : 1;
	for (int power = (int)ceil(x.low); power <= (int)floor(x.high); power += step) {
		double at = place(&x, pow(10, power));
		fprintf(f, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", at, at, TOP,
		        height - BOTTOM);
		fprintf(f, "<text class=\"axis\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", at,
		        height - 8, plot_number(pow(10, power), text, sizeof(text)));
	}
	across(f, &x, limit, "limit", height);
	across(f, &x, target, "target", height);
	for (unsigned i = 0; i < n; i++)
		draw_dot(f, &dots[i], &x, TOP + DOT_ROW / 2 + (int)i * DOT_ROW);
	fprintf(f, "</svg></figure>\n");
}
