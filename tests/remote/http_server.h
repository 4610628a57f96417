/* An HTTP/1.1 server on loopback for tests, plain or TLS: it does to a connection what it is told to. A
 * thread a connection; the port is chosen by the kernel. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HTTP_PATH = 2048, HTTP_QUERY = 4096, HTTP_HEAD = 16384, HTTP_REPLY_HEADERS = 2048 };

/* What is done with a request. */
enum http_manner {
	HTTP_ANSWER,
	HTTP_CLOSE,        /* no answer */
	HTTP_RESET,        /* no answer, and what was sent is thrown away */
	HTTP_STALL,        /* nothing, until http_server_release */
	HTTP_HALF,         /* half of the answer's body, then the end */
	HTTP_HALF_RESET,   /* half of it, then a reset */
	HTTP_HALF_STALL,   /* half of it, then nothing */
	HTTP_LONG_LENGTH,  /* more is announced than comes */
	HTTP_SHORT_LENGTH, /* less is announced than comes */
	HTTP_GARBAGE,      /* no HTTP */
};

struct http_request {
	char method[8], path[HTTP_PATH], query[HTTP_QUERY];
	char head[HTTP_HEAD]; /* header lines, each ended by '\n' */
	uint8_t *body;
	size_t body_len;
	unsigned connection;    /* from 1 */
	unsigned of_connection; /* which of its connection's requests, from 1 */
};

struct http_reply {
	enum http_manner manner;
	int status;
	char headers[HTTP_REPLY_HEADERS]; /* complete lines, each ended by "\r\n" */
	uint8_t *body;                    /* freed by the server */
	size_t body_len;
	bool head_only; /* the length is told, the body is not sent */
};

struct http_handler {
	/* Before the body is read: anything but HTTP_ANSWER is done with half of the body read. May be NULL.
	 */
	enum http_manner (*on_head)(void *arg, const struct http_request *request);
	void (*on_request)(void *arg, const struct http_request *request, struct http_reply *reply);
	void *arg;
};

struct http_server;

/* With a certificate file (certificate and key in PEM) it speaks TLS. NULL if it cannot be started. */
struct http_server *http_server_start(const struct http_handler *handler, const char *certificate);
/* Ends all connections and all threads. */
void http_server_stop(struct http_server *server);
unsigned http_server_port(const struct http_server *server);
/* Connections accepted so far. */
unsigned http_server_connections(const struct http_server *server);
/* Waits until all that were accepted behind the first so many have ended; what is stalled among them ends.
 * False: one has not, in a time that everything has. */
bool http_server_wait_ended(struct http_server *server, unsigned behind);
/* What is stalled now ends: its connections are closed. */
void http_server_release(struct http_server *server);
/* Requests that are stalled now. */
unsigned http_server_stalled(struct http_server *server);
/* Waits until at least n requests are stalled, for some seconds at most. */
bool http_server_wait_stalled(struct http_server *server, unsigned n);

/* A header's value, or NULL. */
const char *http_header(const struct http_request *request, const char *name, char *value, size_t capacity);
void http_add_header(struct http_reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
