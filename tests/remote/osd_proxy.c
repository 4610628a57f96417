#include "tests/remote/osd_proxy.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	ROUTES = 16,
	/* Of the messenger: a preamble, up to four segments (the first with a checksum behind it), and, if
	 * there is more than one, an epilogue. */
	BANNER = 10,
	BANNER_PAYLOAD = 16,
	PREAMBLE = 32,
	SEGMENTS = 4,
	SEGMENT_BYTES = 6,
	CHECKSUM = 4,
	EPILOGUE = 13,
	TAG_MESSAGE = 17,
	HEADER_SEQUENCE = 0,
	HEADER_TRANSACTION = 8,
	HEADER_TYPE = 16,
	HEADER = 41,
	TYPE_REQUEST = 42,
	TYPE_ANSWER = 43,
	FRAME_MOST = 128 << 20,
};

/* A connection: from librados, and on to the OSD. Two threads, one a direction. */
struct link {
	struct link *next;
	int client, osd;
	unsigned threads; /* lock */
};

struct route {
	uint16_t osd_port, port;
	int listener;
};

static struct proxy {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool runs, pass_by;
	unsigned monitor_port, threads;
	struct route routes[ROUTES];
	unsigned routes_count;
	struct link *links;
	/* The fault. */
	bool armed, awaits_answer, met;
	enum osd_fault fault;
	uint64_t seed;
	unsigned one_in;   /* 0: only the fault that is armed */
	uint64_t faults;   /* so far */
	uint64_t releases; /* so far: what met its fault before the last one does not hold any more */
	uint64_t transaction;
	struct link *met_link;
} proxy = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

const char *osd_fault_text(enum osd_fault fault)
{
	static const char *const texts[] = {
#define OSD_FAULT_TEXT(name, text) text,
	    OSD_FAULT_TABLE(OSD_FAULT_TEXT)
#undef OSD_FAULT_TEXT
	};
	return texts[fault];
}

static int real_connect(int fd, const struct sockaddr *address, socklen_t len)
{
	return (int)syscall(SYS_connect, fd, address, len);
}

/* ---- bytes ---- */

static bool read_all(int fd, uint8_t *to, size_t len)
{
	while (len > 0) {
		ssize_t n = recv(fd, to, len, 0);
		if (n <= 0)
			return false;
		to += n;
		len -= (size_t)n;
	}
	return true;
}

static bool write_all(int fd, const uint8_t *from, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, from, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		from += n;
		len -= (size_t)n;
	}
	return true;
}

static uint64_t get_number(const uint8_t *bytes, unsigned len)
{
	uint64_t number = 0;
	while (len-- > 0)
		number = number << 8 | bytes[len];
	return number;
}

/* Both ends see a reset, and both threads end. */
static void reset_link(struct link *link)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};
	real_connect(link->client, &none, sizeof(none));
	real_connect(link->osd, &none, sizeof(none));
	shutdown(link->client, SHUT_RDWR);
	shutdown(link->osd, SHUT_RDWR);
}

/* ---- frames ---- */

/* One direction of a link; of a thread. */
struct direction {
	struct link *link;
	int from, to;
	uint64_t added; /* messages that came again: so much later are the numbers of all that follow */
	uint8_t *copy;  /* that is to come again before the next request */
	size_t copy_len;
};

struct frame {
	uint8_t *bytes;
	size_t len, capacity;
	bool is_message;
	unsigned type;
	uint64_t transaction;
};

static size_t frame_len(const uint8_t preamble[PREAMBLE])
{
	unsigned segments = preamble[1];
	size_t len = PREAMBLE;
	if (segments < 1 || segments > SEGMENTS)
		return 0;
	for (unsigned i = 0; i < segments; i++)
		len += get_number(preamble + 2 + i * SEGMENT_BYTES, 4);
	if (get_number(preamble + 2, 4) > 0)
		len += CHECKSUM;
	len += segments > 1 ? EPILOGUE : 0;
	return len <= FRAME_MOST ? len : 0;
}

static bool reserve(struct frame *f, size_t len)
{
	if (len <= f->capacity)
		return true;
	uint8_t *more = realloc(f->bytes, len);
	if (!more)
		return false;
	f->bytes = more;
	f->capacity = len;
	return true;
}

static bool read_frame(int fd, struct frame *f)
{
	if (!reserve(f, PREAMBLE) || !read_all(fd, f->bytes, PREAMBLE))
		return false;
	f->len = frame_len(f->bytes);
	if (f->len == 0 || !reserve(f, f->len) || !read_all(fd, f->bytes + PREAMBLE, f->len - PREAMBLE))
		return false;
	f->is_message = f->bytes[0] == TAG_MESSAGE && f->len >= PREAMBLE + HEADER;
	if (f->is_message) {
		f->type = (unsigned)get_number(f->bytes + PREAMBLE + HEADER_TYPE, 2);
		f->transaction = get_number(f->bytes + PREAMBLE + HEADER_TRANSACTION, 8);
	}
	return true;
}

/* ---- the fault ---- */

static bool is_for_answers(enum osd_fault fault)
{
	return fault == OSD_RESET_AFTER || fault == OSD_CUT_ANSWER || fault == OSD_FLIP_ANSWER ||
	       fault >= OSD_STALL_AFTER;
}

struct taken {
	enum osd_fault fault;
	uint64_t seed, releases;
};

/* SplitMix64 (Steele, Lea, Flood, 2014). */
static uint64_t draw_locked(void)
{
	uint64_t z = proxy.seed += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* Any of those that do not stall, for requests or for answers. */
static bool draw_fault_locked(bool answer, struct taken *taken)
{
	if (draw_locked() % proxy.one_in != 0)
		return false;
	taken->fault =
	    (enum osd_fault)(answer ? OSD_RESET_AFTER + draw_locked() % (OSD_STALL_BEFORE - OSD_RESET_AFTER)
	                            : draw_locked() % OSD_RESET_AFTER);
	taken->seed = draw_locked() >> 1;
	return true;
}

/* Whether the frame has a fault; the one that is armed at most once. */
static bool take_fault(struct link *link, const struct frame *f, struct taken *taken)
{
	bool takes = false;
	if (!f->is_message || (f->type != TYPE_REQUEST && f->type != TYPE_ANSWER))
		return false;
	pthread_mutex_lock(&proxy.lock);
	*taken = (struct taken){proxy.fault, proxy.seed, proxy.releases};
	if (proxy.one_in > 0) {
		takes = draw_fault_locked(f->type == TYPE_ANSWER, taken);
	} else if (proxy.armed && f->type == TYPE_REQUEST) {
		proxy.armed = false;
		proxy.awaits_answer = is_for_answers(proxy.fault);
		proxy.transaction = f->transaction;
		proxy.met_link = link;
		takes = !proxy.awaits_answer;
	} else if (proxy.awaits_answer && f->type == TYPE_ANSWER && link == proxy.met_link &&
	           f->transaction == proxy.transaction) {
		proxy.awaits_answer = false;
		takes = true;
	}
	if (takes) {
		proxy.faults++;
		proxy.met = true;
		pthread_cond_broadcast(&proxy.changed);
	}
	pthread_mutex_unlock(&proxy.lock);
	return takes;
}

static void hold(const struct taken *taken)
{
	pthread_mutex_lock(&proxy.lock);
	while (proxy.runs && proxy.releases == taken->releases)
		pthread_cond_wait(&proxy.changed, &proxy.lock);
	pthread_mutex_unlock(&proxy.lock);
}

/* CRC-32C as the messenger has it: begun with all ones, and not inverted at the end. */
static uint32_t checksum(const uint8_t *bytes, size_t len)
{
	uint32_t crc = UINT32_MAX;
	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
	}
	return crc;
}

static void put_number(uint8_t *bytes, unsigned len, uint64_t number)
{
	for (unsigned i = 0; i < len; i++)
		bytes[i] = (uint8_t)(number >> 8 * i);
}

/* Gives a message the number so much later, and the checksum of its header that goes with it. */
static void renumber(uint8_t *frame, uint64_t later)
{
	uint8_t *header = frame + PREAMBLE;
	size_t len = get_number(frame + 2, 4);
	put_number(header + HEADER_SEQUENCE, 8, get_number(header + HEADER_SEQUENCE, 8) + later);
	put_number(header + len, CHECKSUM, checksum(header, len));
}

/* As if librados had sent it once more: behind what it has sent so far. */
static bool send_again(struct direction *d, uint8_t *bytes, size_t len)
{
	d->added++;
	renumber(bytes, 1);
	return write_all(d->to, bytes, len);
}

static bool send_copy(struct direction *d, struct frame *f)
{
	uint64_t number = get_number(f->bytes + PREAMBLE + HEADER_SEQUENCE, 8);
	uint64_t of_copy = get_number(d->copy + PREAMBLE + HEADER_SEQUENCE, 8);
	/* It takes the number of the one that follows, which becomes a later one. */
	renumber(d->copy, number - of_copy);
	renumber(f->bytes, 1);
	d->added++;
	bool sent = write_all(d->to, d->copy, d->copy_len);
	free(d->copy);
	d->copy = NULL;
	return sent;
}

/* False: the link is no more. */
static bool act(struct direction *d, struct frame *f, const struct taken *taken)
{
	int to = d->to;
	size_t part = 1 + taken->seed % (f->len - 1);
	switch (taken->fault) {
	case OSD_CUT_REQUEST:
	case OSD_CUT_ANSWER:
		(void)write_all(to, f->bytes, part);
		return false;
	case OSD_FLIP_REQUEST:
	case OSD_FLIP_ANSWER:
		/* All but the epilogue's first byte and its padding is covered by checksums. */
		f->bytes[taken->seed % (f->len - EPILOGUE)] ^= (uint8_t)(1U << taken->seed / 131 % 8);
		return write_all(to, f->bytes, f->len);
	case OSD_TWICE:
		return write_all(to, f->bytes, f->len) && send_again(d, f->bytes, f->len);
	case OSD_REPLAY:
		d->copy = malloc(f->len);
		d->copy_len = f->len;
		memcpy(d->copy, f->bytes, f->len);
		return write_all(to, f->bytes, f->len);
	case OSD_STALL_BEFORE:
	case OSD_STALL_AFTER:
		hold(taken);
		return write_all(to, f->bytes, f->len);
	case OSD_STALL_IN_REQUEST:
	case OSD_STALL_IN_ANSWER:
		if (!write_all(to, f->bytes, part))
			return false;
		hold(taken);
		return write_all(to, f->bytes + part, f->len - part);
	case OSD_LOSE_REQUEST:
	case OSD_LOSE_ANSWER:
		hold(taken);
		return false;
	default: /* OSD_RESET_BEFORE, OSD_RESET_AFTER */
		return false;
	}
}

/* ---- links ---- */

static void pass_plain(const struct direction *d)
{
	uint8_t bytes[4096];
	ssize_t n;
	while ((n = recv(d->from, bytes, sizeof(bytes), 0)) > 0 && write_all(d->to, bytes, (size_t)n))
		continue;
}

/* Whether frames follow that can be read. */
static bool pass_banner(const struct direction *d)
{
	uint8_t bytes[BANNER + BANNER_PAYLOAD];
	if (!read_all(d->from, bytes, BANNER))
		return false;
	bool known = memcmp(bytes, "ceph v2\n", 8) == 0 && get_number(bytes + 8, 2) == BANNER_PAYLOAD;
	size_t len = known ? sizeof(bytes) : BANNER;
	if (known && !read_all(d->from, bytes + BANNER, BANNER_PAYLOAD))
		return false;
	return write_all(d->to, bytes, len) && known && (bytes[BANNER] & 1) == 1;
}

static void pass_frames(struct direction *d)
{
	struct frame f = {0};
	struct taken taken;
	bool goes_on = true;
	while (goes_on && read_frame(d->from, &f)) {
		if (f.is_message && d->added > 0)
			renumber(f.bytes, d->added);
		if (d->copy && f.is_message && f.type == TYPE_REQUEST)
			goes_on = send_copy(d, &f);
		if (goes_on && take_fault(d->link, &f, &taken))
			goes_on = act(d, &f, &taken);
		else if (goes_on)
			goes_on = write_all(d->to, f.bytes, f.len);
	}
	free(d->copy);
	free(f.bytes);
}

static void unlink_locked(struct link *link)
{
	struct link **at = &proxy.links;
	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	if (proxy.met_link == link)
		proxy.met_link = NULL;
}

static void *run_direction(void *arg)
{
	struct direction *d = arg;
	struct link *link = d->link;
	if (pass_banner(d))
		pass_frames(d);
	else
		pass_plain(d);
	free(d);
	reset_link(link);
	pthread_mutex_lock(&proxy.lock);
	bool last = --link->threads == 0;
	if (last)
		unlink_locked(link);
	proxy.threads--;
	pthread_cond_broadcast(&proxy.changed);
	pthread_mutex_unlock(&proxy.lock);
	if (last) {
		close(link->client);
		close(link->osd);
		free(link);
	}
	return NULL;
}

static bool start_thread(void *(*run)(void *), void *arg)
{
	pthread_attr_t attributes;
	pthread_t thread;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	bool right = pthread_create(&thread, &attributes, run, arg) == 0;
	pthread_attr_destroy(&attributes);
	return right;
}

static void start_direction(struct link *link, bool up)
{
	struct direction *d = malloc(sizeof(*d));
	if (!d)
		abort();
	*d = (struct direction){
	    .link = link, .from = up ? link->client : link->osd, .to = up ? link->osd : link->client};
	if (!start_thread(run_direction, d))
		abort();
}

static int connect_osd(uint16_t port)
{
	struct sockaddr_in address = {
	    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	if (fd >= 0 && real_connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		close(fd);
		return -1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static void accept_link(int client, uint16_t osd_port)
{
	struct link *link = calloc(1, sizeof(*link));
	int on = 1;
	if (!link)
		abort();
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	*link = (struct link){.client = client, .osd = connect_osd(osd_port), .threads = 2};
	if (link->osd < 0) {
		close(client);
		free(link);
		return;
	}
	pthread_mutex_lock(&proxy.lock);
	link->next = proxy.links;
	proxy.links = link;
	proxy.threads += 2;
	pthread_mutex_unlock(&proxy.lock);
	start_direction(link, true);
	start_direction(link, false);
}

static void *run_route(void *arg)
{
	const struct route *route = arg;
	int client;
	while ((client = accept4(route->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		accept_link(client, route->osd_port);
	pthread_mutex_lock(&proxy.lock);
	proxy.threads--;
	pthread_cond_broadcast(&proxy.changed);
	pthread_mutex_unlock(&proxy.lock);
	return NULL;
}

/* ---- routes ---- */

/* 0: there is none. */
static uint16_t new_route_locked(uint16_t osd_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	struct route *route = &proxy.routes[proxy.routes_count];
	if (proxy.routes_count == ROUTES)
		return 0;
	*route =
	    (struct route){.osd_port = osd_port, .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	if (route->listener < 0 || bind(route->listener, (struct sockaddr *)&address, len) != 0 ||
	    listen(route->listener, 16) != 0 ||
	    getsockname(route->listener, (struct sockaddr *)&address, &len) != 0)
		return 0;
	route->port = ntohs(address.sin_port);
	proxy.threads++;
	if (!start_thread(run_route, route))
		abort();
	proxy.routes_count++;
	return route->port;
}

static uint16_t route_to(uint16_t osd_port)
{
	uint16_t port = 0;
	pthread_mutex_lock(&proxy.lock);
	if (proxy.runs && !proxy.pass_by && osd_port != proxy.monitor_port) {
		for (unsigned i = 0; i < proxy.routes_count; i++)
			if (proxy.routes[i].osd_port == osd_port)
				port = proxy.routes[i].port;
		if (port == 0)
			port = new_route_locked(osd_port);
	}
	pthread_mutex_unlock(&proxy.lock);
	return port;
}

/* In place of libc's, for librados as well. */
__attribute__((visibility("default"))) int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	struct sockaddr_in to;
	if (address->sa_family != AF_INET || len < sizeof(to))
		return real_connect(fd, address, len);
	memcpy(&to, address, sizeof(to));
	uint16_t port = to.sin_addr.s_addr == htonl(INADDR_LOOPBACK) ? route_to(ntohs(to.sin_port)) : 0;
	if (port > 0)
		to.sin_port = htons(port);
	return real_connect(fd, (struct sockaddr *)&to, sizeof(to));
}

/* ---- the test's side ---- */

bool osd_proxy_start(unsigned monitor_port)
{
	pthread_mutex_lock(&proxy.lock);
	proxy.monitor_port = monitor_port;
	proxy.runs = monitor_port > 0;
	pthread_mutex_unlock(&proxy.lock);
	return monitor_port > 0;
}

void osd_proxy_stop(void)
{
	pthread_mutex_lock(&proxy.lock);
	proxy.runs = false;
	pthread_cond_broadcast(&proxy.changed);
	for (unsigned i = 0; i < proxy.routes_count; i++)
		shutdown(proxy.routes[i].listener, SHUT_RDWR);
	for (struct link *link = proxy.links; link; link = link->next)
		reset_link(link);
	while (proxy.threads > 0)
		pthread_cond_wait(&proxy.changed, &proxy.lock);
	for (unsigned i = 0; i < proxy.routes_count; i++)
		close(proxy.routes[i].listener);
	proxy.routes_count = 0;
	pthread_mutex_unlock(&proxy.lock);
}

void osd_proxy_pass_by(bool pass_by)
{
	pthread_mutex_lock(&proxy.lock);
	proxy.pass_by = pass_by;
	pthread_mutex_unlock(&proxy.lock);
}

void osd_proxy_arm(enum osd_fault fault, uint64_t seed)
{
	pthread_mutex_lock(&proxy.lock);
	proxy.fault = fault;
	proxy.seed = seed;
	proxy.armed = true;
	proxy.met = proxy.awaits_answer = false;
	pthread_mutex_unlock(&proxy.lock);
}

void osd_proxy_spoil(unsigned one_in, uint64_t seed)
{
	pthread_mutex_lock(&proxy.lock);
	proxy.one_in = one_in;
	proxy.seed = seed;
	pthread_mutex_unlock(&proxy.lock);
}

uint64_t osd_proxy_faults(void)
{
	pthread_mutex_lock(&proxy.lock);
	uint64_t faults = proxy.faults;
	pthread_mutex_unlock(&proxy.lock);
	return faults;
}

bool osd_proxy_wait_met(unsigned timeout_s)
{
	struct timespec until;
	int err = 0;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += timeout_s;
	pthread_mutex_lock(&proxy.lock);
	while (!proxy.met && err == 0)
		err = pthread_cond_timedwait(&proxy.changed, &proxy.lock, &until);
	bool met = proxy.met;
	pthread_mutex_unlock(&proxy.lock);
	return met;
}

void osd_proxy_release(void)
{
	pthread_mutex_lock(&proxy.lock);
	proxy.releases++;
	proxy.armed = proxy.awaits_answer = false;
	pthread_cond_broadcast(&proxy.changed);
	pthread_mutex_unlock(&proxy.lock);
}
