/* Over expat. Each element's text is collected up to S3_XML_TEXT bytes and looked at when it ends. */
#include <expat.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "remote/s3_xml.h"

enum { ELEMENT_NAME = 40 };

struct reading {
	XML_Parser parser;
	unsigned depth;
	char name[S3_XML_DEPTH][ELEMENT_NAME];
	char text[S3_XML_TEXT + 1];
	size_t len;
	bool cut;           /* the element's text was longer */
	bool leaf;          /* no element within it */
	const char *breach; /* why it was stopped */
	bool ended;         /* stopped because nobody wants more */
	bool is_list;
	void (*element)(struct reading *reading);
	struct s3_error_document *error;
	struct s3_listing *listing;
	/* of the object that is being read */
	char key[S3_XML_TEXT + 1];
	uint64_t size;
	bool has_key, has_size;
};

static void stop(struct reading *r, const char *breach)
{
	r->breach = r->breach ? r->breach : breach;
	XML_StopParser(r->parser, XML_FALSE);
}

/* The element at `depth` (1: the outermost), or "" above or below what there is. */
static const char *element_at(const struct reading *r, unsigned depth)
{
	return depth >= 1 && depth <= r->depth ? r->name[depth - 1] : "";
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct reading *r = arg;
	(void)attributes;
	if (r->depth == S3_XML_DEPTH) {
		stop(r, "elements are nested too deeply");
		return;
	}
	/* No name that we look for is as long as the limit, so a cut one matches none. */
	strncpy(r->name[r->depth], name, ELEMENT_NAME - 1);
	r->name[r->depth++][ELEMENT_NAME - 1] = '\0';
	r->len = 0;
	r->cut = false;
	r->leaf = true;
}

static void XMLCALL on_text(void *arg, const XML_Char *text, int len)
{
	struct reading *r = arg;
	size_t n = (size_t)len, room = S3_XML_TEXT - r->len;
	r->cut = r->cut || n > room;
	n = n < room ? n : room;
	memcpy(r->text + r->len, text, n);
	r->len += n;
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct reading *r = arg;
	(void)name;
	r->text[r->len] = '\0';
	r->element(r);
	r->depth--;
	r->len = 0;
	r->leaf = false;
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public, int has_internal)
{
	(void)name, (void)system, (void)public, (void)has_internal;
	stop(arg, "it has a document type");
}

/* Whether it was read to its end, or to where nobody wanted more. */
static bool read_document(struct reading *r, const char *text, size_t len)
{
	r->parser = XML_ParserCreate("UTF-8");
	if (!r->parser) {
		r->breach = "no memory for its parser";
		return false;
	}
	XML_SetUserData(r->parser, r);
	XML_SetElementHandler(r->parser, on_start, on_end);
	XML_SetCharacterDataHandler(r->parser, on_text);
	XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
	enum XML_Status status = XML_Parse(r->parser, text, (int)len, 1);
	if (status != XML_STATUS_OK && !r->breach && !r->ended)
		r->breach = XML_ErrorString(XML_GetErrorCode(r->parser));
	XML_ParserFree(r->parser);
	return !r->breach;
}

/* ---- errors ---- */

static void copy_printable(char *to, size_t capacity, const char *text)
{
	size_t n = 0;
	for (; text[n] && n + 1 < capacity; n++)
		to[n] = text[n] >= 0x20 && text[n] < 0x7f ? text[n] : '?';
	to[n] = '\0';
}

static void error_element(struct reading *r)
{
	const char *name = element_at(r, 2);
	if (r->depth != 2 || strcmp(element_at(r, 1), "Error") != 0)
		return;
	if (strcmp(name, "Code") == 0)
		copy_printable(r->error->code, sizeof(r->error->code), r->text);
	else if (strcmp(name, "Message") == 0)
		copy_printable(r->error->message, sizeof(r->error->message), r->text);
	else if (strcmp(name, "ServerTime") == 0)
		copy_printable(r->error->server_time, sizeof(r->error->server_time), r->text);
}

void ps_s3_xml_error(const char *text, size_t len, struct s3_error_document *error)
{
	struct reading r = {.element = error_element, .error = error};
	memset(error, 0, sizeof(*error));
	if (len > 0 && len <= S3_XML_MAX)
		(void)read_document(&r, text, len);
}

/* ---- listings ---- */

static bool read_size(const char *text, uint64_t *size)
{
	uint64_t value = 0;
	if (!*text)
		return false;
	for (; *text; text++) {
		unsigned digit = (unsigned)(*text - '0');
		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*size = value;
	return true;
}

static void object_field(struct reading *r)
{
	const char *name = element_at(r, 3);
	if (strcmp(name, "Key") == 0) {
		if (r->has_key || r->cut || r->len == 0 || !r->leaf) {
			stop(r, "a key is missing, twice there, or longer than any");
			return;
		}
		memcpy(r->key, r->text, r->len + 1);
		r->has_key = true;
	} else if (strcmp(name, "Size") == 0) {
		if (r->has_size || r->cut || !r->leaf || !read_size(r->text, &r->size)) {
			stop(r, "a size is no number");
			return;
		}
		r->has_size = true;
	}
}

static void object_end(struct reading *r)
{
	if (!r->has_key || !r->has_size) {
		stop(r, "an object has no key, or no size");
		return;
	}
	r->has_key = r->has_size = false;
	if (!r->listing->object(r->listing->arg, r->key, r->size)) {
		r->ended = true;
		XML_StopParser(r->parser, XML_FALSE);
	}
}

static void listing_element(struct reading *r)
{
	if (r->breach || r->ended)
		return;
	if (strcmp(element_at(r, 1), "ListBucketResult") != 0) {
		stop(r, "it is no ListBucketResult");
		return;
	}
	r->is_list = true;
	const char *name = element_at(r, 2);
	if (r->depth == 3 && strcmp(name, "Contents") == 0)
		object_field(r);
	else if (r->depth == 2 && strcmp(name, "Contents") == 0)
		object_end(r);
	else if (r->depth == 2 && strcmp(name, "IsTruncated") == 0)
		r->listing->truncated = strcmp(r->text, "true") == 0;
}

int ps_s3_xml_listing(const char *text, size_t len, struct s3_listing *listing)
{
	struct reading r = {.element = listing_element, .listing = listing};
	listing->truncated = false;
	if (len > S3_XML_MAX)
		return ps_fail(PS_ECORRUPT, "a listing of %zu bytes (%d at most)", len, S3_XML_MAX);
	if (!read_document(&r, text, len))
		return ps_fail(PS_ECORRUPT, "the listing cannot be read: %s", r.breach);
	return r.is_list ? PS_OK : ps_fail(PS_ECORRUPT, "the listing is empty");
}
