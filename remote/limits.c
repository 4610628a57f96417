#include "remote/limits.h"

#include "remote/clock.h"

/* Of the full rate: least, growth a second, and how many seconds of a rate a bucket saves. */
static const double least_share = 1.0 / 64, growth = 1.0 / 20, saved_seconds = 0.1;

/* For who was turned away: as long as buckets save what nobody takes meanwhile. */
static const uint64_t patience_ns = PS_SECOND_NS / 10;

static double seconds(uint64_t ns)
{
	return (double)ns / (double)PS_SECOND_NS;
}

void ps_limits_init(struct ps_limits *limits, const struct ps_limits_options *options, uint64_t now_ns)
{
	static const struct ps_limits_options none;
	const struct ps_limits_options *o = options ? options : &none;
	*limits = (struct ps_limits){.at_ns = now_ns, .window_ns = now_ns, .figures.share = 1};
	pthread_mutex_init(&limits->lock, NULL);
	limits->buckets[PS_LIMIT_UP].full = (double)o->bytes_up;
	limits->buckets[PS_LIMIT_DOWN].full = (double)o->bytes_down;
	limits->buckets[PS_LIMIT_REQUESTS].full = (double)o->requests;
}

void ps_limits_done(struct ps_limits *limits)
{
	pthread_mutex_destroy(&limits->lock);
}

/* A bucket holds one request at least, or a slow one would never admit any. */
static void fill_bucket(struct ps_bucket *bucket, double rate, double elapsed)
{
	double most = rate * saved_seconds > 1 ? rate * saved_seconds : 1;
	bucket->has += rate * elapsed;
	if (bucket->has > most)
		bucket->has = most;
}

static void fill(struct ps_limits *limits, uint64_t now_ns)
{
	if (now_ns <= limits->at_ns)
		return;
	double elapsed = seconds(now_ns - limits->at_ns), share = limits->figures.share;
	limits->at_ns = now_ns;
	/* The rate grows while the time passes: what counts is its mean. */
	double grown = share + growth * elapsed;
	grown = grown < 1 ? grown : 1;
	limits->figures.share = grown;
	for (int i = 0; i < PS_LIMITS; i++)
		fill_bucket(&limits->buckets[i], limits->buckets[i].full * (share + grown) / 2, elapsed);
	if (limits->measured && grown >= 1) {
		limits->measured = false;
		limits->buckets[PS_LIMIT_REQUESTS] = (struct ps_bucket){0};
	}
}

/* Requests a second, in windows of one second. */
static void measure(struct ps_limits *limits, uint64_t now_ns)
{
	if (now_ns - limits->window_ns >= PS_SECOND_NS) {
		limits->window_rate = (double)limits->window_count / seconds(now_ns - limits->window_ns);
		limits->window_ns = now_ns;
		limits->window_count = 0;
	}
	limits->window_count++;
}

static double measured_rate(const struct ps_limits *limits, uint64_t now_ns)
{
	double elapsed = seconds(now_ns - limits->window_ns);
	double here = (double)limits->window_count / (elapsed > saved_seconds ? elapsed : saved_seconds);
	double rate = limits->window_rate > here ? limits->window_rate : here;
	return rate > 1 ? rate : 1;
}

/* The moment when all buckets have something; 0: they have. */
static uint64_t filled_ns(const struct ps_limits *limits, uint64_t now_ns)
{
	double longest = 0;
	for (int i = 0; i < PS_LIMITS; i++) {
		const struct ps_bucket *bucket = &limits->buckets[i];
		double missing = (i == PS_LIMIT_REQUESTS ? 1 : 0) - bucket->has;
		double wait = bucket->full > 0 ? missing / (bucket->full * limits->figures.share) : 0;
		longest = wait > longest ? wait : longest;
	}
	return longest > 0 ? now_ns + 1 + (uint64_t)(longest * (double)PS_SECOND_NS) : 0;
}

/* One of the class was turned away, and may come yet. */
static bool is_awaited(const struct ps_limits *limits, enum ps_token_class class, uint64_t now_ns)
{
	return limits->asks_ns[class] > 0 && now_ns < limits->asks_ns[class] + patience_ns;
}

/* It is the other class's turn: behind the moment at which that one asks. 0: it is not. */
static uint64_t gives_way_ns(const struct ps_limits *limits, enum ps_token_class class, uint64_t now_ns)
{
	bool background = class == PS_TOKEN_BACKGROUND,
	     turn = limits->foreground_run >= PS_TOKEN_BACKGROUND_TURN - 1;
	enum ps_token_class other = background ? PS_TOKEN_FOREGROUND : PS_TOKEN_BACKGROUND;
	if (background == turn || !is_awaited(limits, other, now_ns))
		return 0;
	return (limits->asks_ns[other] > now_ns ? limits->asks_ns[other] : now_ns) + patience_ns / 16;
}

static void admit(struct ps_limits *limits, enum ps_token_class class, uint64_t now_ns)
{
	bool passes = class == PS_TOKEN_FOREGROUND && is_awaited(limits, PS_TOKEN_BACKGROUND, now_ns);
	limits->foreground_run = passes ? limits->foreground_run + 1 : 0;
	limits->asks_ns[class] = 0;
	if (limits->buckets[PS_LIMIT_REQUESTS].full > 0)
		limits->buckets[PS_LIMIT_REQUESTS].has -= 1;
	limits->figures.admitted++;
	measure(limits, now_ns);
}

uint64_t ps_limits_admit(struct ps_limits *limits, enum ps_token_class class, uint64_t now_ns)
{
	pthread_mutex_lock(&limits->lock);
	fill(limits, now_ns);
	uint64_t then_ns = filled_ns(limits, now_ns);
	if (!then_ns)
		then_ns = gives_way_ns(limits, class, now_ns);
	if (then_ns) {
		limits->asks_ns[class] = then_ns;
		limits->figures.turned_away++;
	} else {
		admit(limits, class, now_ns);
	}
	pthread_mutex_unlock(&limits->lock);
	return then_ns;
}

static void take(struct ps_bucket *bucket, double amount)
{
	if (bucket->full > 0)
		bucket->has -= amount;
}

void ps_limits_withdraw(struct ps_limits *limits)
{
	pthread_mutex_lock(&limits->lock);
	take(&limits->buckets[PS_LIMIT_REQUESTS], -1);
	limits->figures.admitted--;
	pthread_mutex_unlock(&limits->lock);
}

void ps_limits_charge(struct ps_limits *limits, uint64_t up, uint64_t down)
{
	pthread_mutex_lock(&limits->lock);
	take(&limits->buckets[PS_LIMIT_UP], (double)up);
	take(&limits->buckets[PS_LIMIT_DOWN], (double)down);
	limits->figures.sent += up;
	limits->figures.received += down;
	pthread_mutex_unlock(&limits->lock);
}

void ps_limits_refund(struct ps_limits *limits, uint64_t up, uint64_t down)
{
	pthread_mutex_lock(&limits->lock);
	take(&limits->buckets[PS_LIMIT_UP], -(double)up);
	take(&limits->buckets[PS_LIMIT_DOWN], -(double)down);
	limits->figures.sent -= up;
	limits->figures.received -= down;
	pthread_mutex_unlock(&limits->lock);
}

void ps_limits_throttled(struct ps_limits *limits, uint64_t now_ns, uint64_t sent_ns)
{
	pthread_mutex_lock(&limits->lock);
	limits->figures.throttled++;
	/* What was sent before the last halving says nothing about the rate since. */
	if (limits->figures.halved == 0 || sent_ns > limits->halved_ns) {
		fill(limits, now_ns);
		struct ps_bucket *requests = &limits->buckets[PS_LIMIT_REQUESTS];
		if (requests->full <= 0) {
			requests->full = measured_rate(limits, now_ns);
			limits->measured = true;
		}
		double share = limits->figures.share / 2;
		limits->figures.share = share > least_share ? share : least_share;
		limits->halved_ns = now_ns;
		limits->figures.halved++;
	}
	pthread_mutex_unlock(&limits->lock);
}

void ps_limits_figures(struct ps_limits *limits, uint64_t now_ns, struct ps_limits_figures *figures)
{
	pthread_mutex_lock(&limits->lock);
	fill(limits, now_ns);
	limits->figures.bytes_up = limits->buckets[PS_LIMIT_UP].full * limits->figures.share;
	limits->figures.bytes_down = limits->buckets[PS_LIMIT_DOWN].full * limits->figures.share;
	limits->figures.requests = limits->buckets[PS_LIMIT_REQUESTS].full * limits->figures.share;
	*figures = limits->figures;
	pthread_mutex_unlock(&limits->lock);
}
