/* Which machines a head lists, and what follows from that for pads; the first format; head codes in shells.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "remote/head.h"
#include "tests/remote/group_memory.h"

#define ok(call) assert_int_equal(call, PS_OK)

/* The history that these machines make: "aab" is a's first head, another of a's, and b's. */
static void make(struct ps_head *head, const char *writers)
{
	ps_head_init(head, &group_memory);
	memset(head->network, 3, sizeof(head->network));
	(void)strcpy(head->store, "main");
	for (size_t i = 0; writers[i]; i++) {
		uint8_t id[PS_MACHINE], hash[32] = {1, (uint8_t)i};
		char name[2] = {writers[i], 0};
		struct ps_head next;
		memset(id, writers[i], sizeof(id));
		ok(ps_head_next(head, hash, id, name, i, &next));
		if (i == 0)
			next.pairs_count = 0;
		ps_head_done(head);
		*head = next;
		ok(ps_head_check(head));
	}
}

static void expect(const char *writers, char who, bool only, uint64_t kept, uint64_t left)
{
	uint8_t id[PS_MACHINE];
	struct ps_head head;
	memset(id, who, sizeof(id));
	make(&head, writers);
	assert_int_equal(ps_head_only(&head, id), only);
	assert_int_equal(ps_head_kept(&head, id), kept);
	assert_int_equal(ps_head_left(&head, id), left);
	ps_head_done(&head);
}

static void what_one_wrote_alone_is_its_own_until_it_writes_again(void **state)
{
	(void)state;
	expect("aaa", 'a', true, 0, 0);  /* alone */
	expect("aaa", 'b', false, 0, 3); /* about to join */
	expect("aaab", 'a', false, 3, 0);
	expect("aaab", 'b', false, 0, 3);
	expect("aaabbb", 'a', false, 3, 0);
	expect("aaabbcb", 'c', false, 0, 3);
	expect("aaabbcb", 'b', false, 0, 3);
	expect("aaabbcba", 'a', false, 0, 0);
	expect("aaabbcba", 'b', false, 0, 0);
	expect("aaabbcbab", 'c', false, 0, 0);
}

static void who_is_dropped_is_left_nothing(void **state)
{
	struct ps_head head;
	uint8_t a[PS_MACHINE], b[PS_MACHINE];
	(void)state;
	memset(a, 'a', sizeof(a));
	memset(b, 'b', sizeof(b));
	make(&head, "aabcb");
	ok(ps_head_drop_machine(&head, 0));
	ok(ps_head_check(&head));
	assert_null(ps_head_machine(&head, a));
	assert_int_equal(ps_head_left(&head, b), 0);
	ok(ps_head_drop_machine(&head, 1)); /* c */
	ok(ps_head_check(&head));
	assert_true(ps_head_only(&head, b));
	assert_int_equal(head.alone, head.counter);
	ps_head_done(&head);
}

/* As programs wrote it that did not know who was alone: eight bytes less. */
static size_t as_first_format(const struct ps_head *head, uint8_t *bytes)
{
	size_t len = ps_head_bytes(head), fixed = sizeof(struct ps_head_bytes),
	       more = sizeof(struct ps_head_more_bytes);
	struct ps_head_bytes first;
	ps_head_encode(head, bytes);
	memmove(bytes + fixed, bytes + fixed + more, len - fixed - more);
	memcpy(&first, bytes, fixed);
	first.format = ps_set32(PS_HEAD_FORMAT_FIRST);
	first.len = ps_set32((uint32_t)(len - more));
	memcpy(bytes, &first, fixed);
	return len - more;
}

static void the_first_format_is_read(void **state)
{
	static uint8_t bytes[8192];
	struct ps_head head, again;
	(void)state;
	for (unsigned several = 0; several < 2; several++) {
		make(&head, several ? "aabcb" : "aa");
		size_t len = as_first_format(&head, bytes);
		ok(ps_head_decode(bytes, len, &group_memory, &again));
		assert_int_equal(again.alone, several ? 0 : 2);
		assert_int_equal(again.counter, head.counter);
		assert_int_equal(again.machines_count, head.machines_count);
		for (size_t cut = 0; cut < len; cut++)
			assert_int_not_equal(ps_head_decode(bytes, cut, &group_memory, &(struct ps_head){0}),
			                     PS_OK);
		ps_head_done(&again);
		ps_head_done(&head);
	}
}

static void an_impossible_moment_alone_is_refused(void **state)
{
	static const uint64_t wrong[] = {5, 6, UINT64_MAX};
	struct ps_head head;
	(void)state;
	make(&head, "aabcb");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		head.alone = wrong[i];
		assert_int_equal(ps_head_check(&head), PS_ECORRUPT);
	}
	ps_head_done(&head);
	make(&head, "aa");
	head.alone = 1;
	assert_int_equal(ps_head_check(&head), PS_ECORRUPT);
	ps_head_done(&head);
}

static void codes_are_safe_in_shells_and_old_ones_are_read(void **state)
{
	static const char now[] = "+_@=U", before[] = "*~$=U";
	unsigned seen = 0;
	(void)state;
	for (uint64_t counter = 1; counter < 400; counter++) {
		uint8_t hash[32] = {(uint8_t)(counter * 7), (uint8_t)(counter >> 1), 3, 4, 5}, bits[5];
		char text[PS_HEAD_CODE];
		uint64_t is;
		ps_head_code(counter, hash, text);
		char *last = text + strlen(text) - 1;
		assert_int_equal(strspn(text, "0123456789ABCDEFGHJKMNPQRSTVWXYZ-+_@=U"), strlen(text));
		const char *check = strchr(now, *last);
		if (check) {
			seen |= 1U << (check - now);
			*last = before[check - now];
		}
		ok(ps_head_code_parse(text, &is, bits));
		assert_int_equal(is, counter);
		assert_memory_equal(bits, hash, sizeof(bits));
	}
	assert_int_equal(seen, 31); /* each of them came */
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_one_wrote_alone_is_its_own_until_it_writes_again),
	    cmocka_unit_test(who_is_dropped_is_left_nothing),
	    cmocka_unit_test(the_first_format_is_read),
	    cmocka_unit_test(an_impossible_moment_alone_is_refused),
	    cmocka_unit_test(codes_are_safe_in_shells_and_old_ones_are_read),
	};
	return cmocka_run_group_tests_name("head", tests, memory_begin, memory_is_given_back);
}
