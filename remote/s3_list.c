/* Listings, page by page: each begins after the last name of the page before. A continuation token would not
 * fit into a cursor, and does not outlive the endpoint's patience. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "remote/s3_impl.h"

/* Of the last key what stands behind the prefix. Pads' names have 64 digits: of a longer, foreign key these
 * and a character above all digits are enough to go on behind it without leaving out a pad. */
enum { NAME_DIGITS = 2 * PS_PAD_NAME, CURSOR_TEXT = NAME_DIGITS + 1, PAGE_MAX = 1000 };

struct s3_cursor {
	uint8_t len; /* 0: the beginning */
	char text[CURSOR_TEXT];
};
_Static_assert(sizeof(struct s3_cursor) <= PS_NET_CURSOR, "it is kept in a cursor");

static void escape(const char *text, size_t len, char *to, size_t capacity)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t n = 0;
	for (size_t i = 0; i < len && n + 4 <= capacity; i++) {
		unsigned char c = (unsigned char)text[i];
		if ((c < 0x80 && isalnum(c)) || (c && strchr("-._~", c))) {
			to[n++] = (char)c;
		} else {
			to[n++] = '%';
			to[n++] = digits[c >> 4];
			to[n++] = digits[c & 15];
		}
	}
	to[n] = '\0';
}

static struct s3_cursor cursor_of(const struct ps_net_list *list)
{
	struct s3_cursor cursor;
	memcpy(&cursor, list->cursor, sizeof(cursor));
	cursor.len = cursor.len <= CURSOR_TEXT ? cursor.len : 0;
	return cursor;
}

void ps_s3_list_query(const struct s3_call *call, char *query, size_t capacity)
{
	const struct ps_net_list *list = call->request->list;
	const char *prefix = call->client->network->place.prefix;
	struct s3_cursor cursor = cursor_of(list);
	char text[S3_KEY_MAX + CURSOR_TEXT], escaped[3 * S3_PREFIX_MAX + 8];
	char after[3 * (S3_PREFIX_MAX + CURSOR_TEXT) + 8];
	size_t page = list->capacity < PAGE_MAX ? list->capacity : PAGE_MAX;
	escape(prefix, strlen(prefix), escaped, sizeof(escaped));
	int len = snprintf(query, capacity, "list-type=2&max-keys=%zu&prefix=%s", page, escaped);
	if (cursor.len == 0)
		return;
	size_t prefix_len = strlen(prefix);
	memcpy(text, prefix, prefix_len);
	memcpy(text + prefix_len, cursor.text, cursor.len);
	escape(text, prefix_len + cursor.len, after, sizeof(after));
	snprintf(query + len, capacity - (size_t)len, "&start-after=%s", after);
}

/* ---- the answer ---- */

struct page {
	struct s3_call *call;
	struct s3_cursor cursor; /* behind what was taken so far */
	bool full;
};

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_name(const char *text, struct ps_pad_name *name)
{
	if (strlen(text) != NAME_DIGITS)
		return false;
	for (size_t i = 0; i < PS_PAD_NAME; i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		name->bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static struct s3_cursor cursor_behind(const char *name)
{
	struct s3_cursor cursor;
	size_t len = strlen(name);
	cursor.len = (uint8_t)(len <= NAME_DIGITS ? len : CURSOR_TEXT);
	memcpy(cursor.text, name, len <= NAME_DIGITS ? len : NAME_DIGITS);
	if (len > NAME_DIGITS)
		cursor.text[NAME_DIGITS] = '~';
	return cursor;
}

static int compare(const struct s3_cursor *a, const struct s3_cursor *b)
{
	size_t len = a->len < b->len ? a->len : b->len;
	int order = memcmp(a->text, b->text, len);
	return order ? order : (int)a->len - (int)b->len;
}

static bool take_object(void *arg, const char *key, uint64_t size)
{
	struct page *page = arg;
	struct ps_net_list *list = page->call->request->list;
	const char *prefix = page->call->client->network->place.prefix;
	size_t prefix_len = strlen(prefix);
	if (strncmp(key, prefix, prefix_len) != 0)
		return true;
	if (list->count == list->capacity) {
		page->full = true;
		return false;
	}
	struct s3_cursor cursor = cursor_behind(key + prefix_len);
	if (compare(&cursor, &page->cursor) > 0)
		page->cursor = cursor;
	struct ps_net_listed *listed = &list->listed[list->count];
	if (read_name(key + prefix_len, &listed->name)) {
		listed->size = size;
		list->count++;
	}
	return true;
}

/* Each page ends behind the one before it, or an endpoint could keep a listing going round for ever. */
int ps_s3_list_read(struct s3_call *call)
{
	struct ps_net_list *list = call->request->list;
	struct s3_cursor before = cursor_of(list);
	struct page page = {.call = call, .cursor = before};
	struct s3_listing listing = {.object = take_object, .arg = &page};
	int err = ps_s3_xml_listing(call->text, call->text_len, &listing);
	if (err != PS_OK) {
		list->count = 0;
		return err;
	}
	list->more = page.full || listing.truncated;
	if (list->more && compare(&page.cursor, &before) <= 0) {
		list->count = 0;
		list->more = false;
		return ps_fail(PS_ECORRUPT, "the listing does not move on");
	}
	memset(list->cursor, 0, sizeof(list->cursor));
	memcpy(list->cursor, &page.cursor, sizeof(page.cursor));
	return PS_OK;
}
