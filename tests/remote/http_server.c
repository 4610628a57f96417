#include "tests/remote/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_S = 120, BODY_MAX = 64 << 20 };

struct connection {
	struct connection *next;
	struct http_server *server;
	pthread_t thread;
	int fd;
	bool open;
	SSL *ssl;
	unsigned number, requests;
	char buffer[HTTP_HEAD];
	size_t have; /* bytes of it that are not used yet */
};

struct http_server {
	struct http_handler handler;
	SSL_CTX *tls;
	int listener;
	unsigned port;
	pthread_t acceptor;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct connection *connections;
	unsigned count, stalled, releases;
	bool stopping;
};

/* ---- bytes ---- */

static ssize_t receive(struct connection *c, void *data, size_t len)
{
	if (c->ssl)
		return SSL_read(c->ssl, data, (int)len);
	return recv(c->fd, data, len, 0);
}

static bool send_all(struct connection *c, const void *data, size_t len)
{
	const uint8_t *from = data;
	while (len > 0) {
		ssize_t n = c->ssl ? SSL_write(c->ssl, from, (int)(len < 16384 ? len : 16384))
		                   : send(c->fd, from, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		from += n;
		len -= (size_t)n;
	}
	return true;
}

static bool receive_all(struct connection *c, uint8_t *data, size_t len)
{
	size_t n = len < c->have ? len : c->have;
	memcpy(data, c->buffer, n);
	memmove(c->buffer, c->buffer + n, c->have - n);
	c->have -= n;
	while (n < len) {
		ssize_t got = receive(c, data + n, len - n);
		if (got <= 0)
			return false;
		n += (size_t)got;
	}
	return true;
}

/* The head up to its empty line, with '\n' alone at each line's end. */
static bool receive_head(struct connection *c, char *head, size_t capacity)
{
	char *end;
	for (;;) {
		end = c->have >= 4 ? memmem(c->buffer, c->have, "\r\n\r\n", 4) : NULL;
		if (end || c->have == sizeof(c->buffer))
			break;
		ssize_t got = receive(c, c->buffer + c->have, sizeof(c->buffer) - c->have);
		if (got <= 0)
			return false;
		c->have += (size_t)got;
	}
	if (!end)
		return false;
	size_t len = (size_t)(end - c->buffer) + 2, n = 0;
	for (size_t i = 0; i < len && n + 1 < capacity; i++)
		if (c->buffer[i] != '\r')
			head[n++] = c->buffer[i];
	head[n] = '\0';
	memmove(c->buffer, c->buffer + len + 2, c->have - len - 2);
	c->have -= len + 2;
	return true;
}

/* ---- requests ---- */

const char *http_header(const struct http_request *request, const char *name, char *value, size_t capacity)
{
	size_t len = strlen(name);
	for (const char *line = request->head; *line; line = strchr(line, '\n') + 1) {
		if (strncasecmp(line, name, len) != 0 || line[len] != ':')
			continue;
		line += len + 1;
		line += strspn(line, " ");
		snprintf(value, capacity, "%.*s", (int)strcspn(line, "\n"), line);
		return value;
	}
	return NULL;
}

void http_add_header(struct http_reply *reply, const char *format, ...)
{
	size_t len = strlen(reply->headers);
	va_list args;
	va_start(args, format);
	vsnprintf(reply->headers + len, sizeof(reply->headers) - len, format, args);
	va_end(args);
	strncat(reply->headers, "\r\n", sizeof(reply->headers) - strlen(reply->headers) - 1);
}

static bool parse_head(struct http_request *r, char *head)
{
	char target[HTTP_PATH + HTTP_QUERY];
	size_t line = strcspn(head, "\n");
	if (!head[line])
		return false;
	head[line] = '\0';
	if (sscanf(head, "%7s %6143s HTTP/1.1", r->method, target) != 2)
		return false;
	char *query = strchr(target, '?');
	if (query)
		*query++ = '\0';
	snprintf(r->path, sizeof(r->path), "%.2047s", target);
	snprintf(r->query, sizeof(r->query), "%.4095s", query ? query : "");
	snprintf(r->head, sizeof(r->head), "%s", head + line + 1);
	return true;
}

static void stall(struct http_server *server)
{
	pthread_mutex_lock(&server->lock);
	unsigned releases = server->releases;
	server->stalled++;
	pthread_cond_broadcast(&server->changed);
	while (server->releases == releases && !server->stopping)
		pthread_cond_wait(&server->changed, &server->lock);
	pthread_mutex_unlock(&server->lock);
}

/* Not counted any more from here on, whenever their threads run: else they would be taken for what stalls
 * next.
 */
static void release_locked(struct http_server *server)
{
	server->releases++;
	server->stalled = 0;
	pthread_cond_broadcast(&server->changed);
}

/* The connection ends with this. */
static void end_by(struct connection *c, enum http_manner manner)
{
	if (manner == HTTP_STALL || manner == HTTP_HALF_STALL)
		stall(c->server);
	if (manner == HTTP_RESET || manner == HTTP_HALF_RESET) {
		struct linger now = {.l_onoff = 1};
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	}
}

static bool send_reply(struct connection *c, const struct http_reply *reply)
{
	char head[HTTP_REPLY_HEADERS + 256];
	size_t length = reply->body_len, sent = reply->head_only ? 0 : reply->body_len;
	enum http_manner manner = reply->manner;
	if (manner == HTTP_CLOSE || manner == HTTP_RESET || manner == HTTP_STALL)
		return false;
	if (manner == HTTP_GARBAGE) {
		send_all(c, "\x16\x03\x01 no words\r\n\r\n", 15);
		return false;
	}
	if (manner == HTTP_LONG_LENGTH)
		length += 100;
	if (manner == HTTP_SHORT_LENGTH)
		length /= 2;
	if (manner == HTTP_HALF || manner == HTTP_HALF_RESET || manner == HTTP_HALF_STALL)
		sent /= 2;
	int len = snprintf(head, sizeof(head), "HTTP/1.1 %d Scripted\r\n%s", reply->status, reply->headers);
	if (reply->status != 204)
		len += snprintf(head + len, sizeof(head) - (size_t)len, "Content-Length: %zu\r\n", length);
	len += snprintf(head + len, sizeof(head) - (size_t)len, "\r\n");
	return send_all(c, head, (size_t)len) && send_all(c, reply->body, sent) && manner == HTTP_ANSWER;
}

/* False: the connection is over. */
static bool read_body(struct connection *c, struct http_request *r)
{
	char text[32];
	const char *length = http_header(r, "content-length", text, sizeof(text));
	const struct http_handler *handler = &c->server->handler;
	r->body_len = length ? strtoull(length, NULL, 10) : 0;
	if (r->body_len > BODY_MAX)
		return false;
	r->body = malloc(r->body_len + 1);
	enum http_manner manner = handler->on_head ? handler->on_head(handler->arg, r) : HTTP_ANSWER;
	if (manner != HTTP_ANSWER) {
		receive_all(c, r->body, r->body_len / 2);
		end_by(c, manner);
		return false;
	}
	return receive_all(c, r->body, r->body_len);
}

static bool serve(struct connection *c)
{
	struct http_request *r = calloc(1, sizeof(*r));
	struct http_reply *reply = calloc(1, sizeof(*reply));
	char *head = malloc(HTTP_HEAD);
	bool go_on = r && reply && head && receive_head(c, head, HTTP_HEAD) && parse_head(r, head);
	if (go_on) {
		r->connection = c->number;
		r->of_connection = ++c->requests;
		go_on = read_body(c, r);
	}
	if (go_on) {
		c->server->handler.on_request(c->server->handler.arg, r, reply);
		go_on = send_reply(c, reply);
		if (!go_on)
			end_by(c, reply->manner);
	}
	free(reply ? reply->body : NULL);
	free(r ? r->body : NULL);
	free(reply);
	free(r);
	free(head);
	return go_on;
}

static void *run_connection(void *arg)
{
	struct connection *c = arg;
	bool ok = true;
	if (c->server->tls) {
		c->ssl = SSL_new(c->server->tls);
		ok = c->ssl && SSL_set_fd(c->ssl, c->fd) == 1 && SSL_accept(c->ssl) == 1;
	}
	while (ok)
		ok = serve(c);
	ERR_clear_error();
	SSL_free(c->ssl);
	pthread_mutex_lock(&c->server->lock);
	c->open = false;
	close(c->fd);
	pthread_cond_broadcast(&c->server->changed);
	pthread_mutex_unlock(&c->server->lock);
	return NULL;
}

/* ---- the server ---- */

static void *accept_all(void *arg)
{
	struct http_server *server = arg;
	for (;;) {
		int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC), one = 1;
		if (fd < 0)
			return NULL;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		struct connection *c = calloc(1, sizeof(*c));
		pthread_mutex_lock(&server->lock);
		c->server = server;
		c->fd = fd;
		c->open = true;
		c->number = ++server->count;
		c->next = server->connections;
		server->connections = c;
		bool started = pthread_create(&c->thread, NULL, run_connection, c) == 0;
		if (!started) {
			server->connections = c->next;
			close(fd);
			free(c);
		}
		pthread_mutex_unlock(&server->lock);
	}
}

static bool listen_on_loopback(struct http_server *server)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server->listener < 0 ||
	    bind(server->listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(server->listener, 128) != 0 ||
	    getsockname(server->listener, (struct sockaddr *)&address, &len) != 0)
		return false;
	server->port = ntohs(address.sin_port);
	return true;
}

static bool load_certificate(struct http_server *server, const char *certificate)
{
	if (!certificate)
		return true;
	server->tls = SSL_CTX_new(TLS_server_method());
	return server->tls && SSL_CTX_use_certificate_file(server->tls, certificate, SSL_FILETYPE_PEM) == 1 &&
	       SSL_CTX_use_PrivateKey_file(server->tls, certificate, SSL_FILETYPE_PEM) == 1;
}

struct http_server *http_server_start(const struct http_handler *handler, const char *certificate)
{
	struct http_server *server = calloc(1, sizeof(*server));
	signal(SIGPIPE, SIG_IGN);
	server->handler = *handler;
	server->listener = -1;
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->changed, NULL);
	if (load_certificate(server, certificate) && listen_on_loopback(server) &&
	    pthread_create(&server->acceptor, NULL, accept_all, server) == 0)
		return server;
	if (server->listener >= 0)
		close(server->listener);
	SSL_CTX_free(server->tls);
	free(server);
	return NULL;
}

void http_server_stop(struct http_server *server)
{
	shutdown(server->listener, SHUT_RDWR);
	pthread_join(server->acceptor, NULL);
	close(server->listener);
	pthread_mutex_lock(&server->lock);
	server->stopping = true;
	pthread_cond_broadcast(&server->changed);
	for (struct connection *c = server->connections; c; c = c->next)
		if (c->open)
			shutdown(c->fd, SHUT_RDWR);
	pthread_mutex_unlock(&server->lock);
	while (server->connections) {
		struct connection *c = server->connections;
		server->connections = c->next;
		pthread_join(c->thread, NULL);
		free(c);
	}
	SSL_CTX_free(server->tls);
	pthread_cond_destroy(&server->changed);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

unsigned http_server_port(const struct http_server *server)
{
	return server->port;
}

unsigned http_server_connections(const struct http_server *server)
{
	struct http_server *s = (struct http_server *)(uintptr_t)server;
	pthread_mutex_lock(&s->lock);
	unsigned count = s->count;
	pthread_mutex_unlock(&s->lock);
	return count;
}

unsigned http_server_stalled(struct http_server *server)
{
	pthread_mutex_lock(&server->lock);
	unsigned stalled = server->stalled;
	pthread_mutex_unlock(&server->lock);
	return stalled;
}

void http_server_release(struct http_server *server)
{
	pthread_mutex_lock(&server->lock);
	release_locked(server);
	pthread_mutex_unlock(&server->lock);
}

bool http_server_wait_stalled(struct http_server *server, unsigned n)
{
	struct timespec until;
	int err = 0;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&server->lock);
	while (server->stalled < n && err == 0)
		err = pthread_cond_timedwait(&server->changed, &server->lock, &until);
	bool enough = server->stalled >= n;
	pthread_mutex_unlock(&server->lock);
	return enough;
}

static bool any_open_locked(const struct http_server *server, unsigned behind)
{
	for (const struct connection *c = server->connections; c; c = c->next)
		if (c->open && c->number > behind)
			return true;
	return false;
}

bool http_server_wait_ended(struct http_server *server, unsigned behind)
{
	struct timespec until;
	int err = 0;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&server->lock);
	bool open = any_open_locked(server, behind);
	while (open && err == 0) {
		/* What stalls as late as now ends, too. */
		if (server->stalled > 0)
			release_locked(server);
		err = pthread_cond_timedwait(&server->changed, &server->lock, &until);
		open = any_open_locked(server, behind);
	}
	pthread_mutex_unlock(&server->lock);
	return !open;
}
