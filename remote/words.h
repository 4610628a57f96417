/* A key as people write it down: 24 BIP-39 words, or 64 hexadecimal digits. */
#ifndef PS_WORDS_H
#define PS_WORDS_H

#include "remote/keys.h"

enum {
	PS_WORDS_TEXT = 24 * 9, /* 24 words of up to 8 letters, spaces between, a zero byte */
	PS_HEX_TEXT = 2 * PS_KEY + 1,
};

/* Words in lower case, a space between. The caller wipes the text. */
void ps_words_from_key(const uint8_t key[PS_KEY], char text[PS_WORDS_TEXT]);
/* Of `len` bytes: any letters' case, any white space around the words. PS_EINVAL with a sentence that names
 * no word, but its place: how many there are, which one is not in the list, or that the checksum does not
 * match. */
int ps_words_to_key(const char *text, size_t len, uint8_t key[PS_KEY]) __attribute__((warn_unused_result));

void ps_hex_from_key(const uint8_t key[PS_KEY], char text[PS_HEX_TEXT]);
/* White space around it is skipped. PS_EINVAL: not exactly 64 digits. */
int ps_hex_to_key(const char *text, size_t len, uint8_t key[PS_KEY]) __attribute__((warn_unused_result));

#endif
