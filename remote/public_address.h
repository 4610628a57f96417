/* Addresses of public values, as bytes and as text. Who has one reads: it is shown to nobody else, and stands
 * in no sentence. */
#ifndef PS_PUBLIC_ADDRESS_H
#define PS_PUBLIC_ADDRESS_H

#include "remote/pad.h"

enum {
	PS_ADDRESS_VERSION = 1,
	PS_ADDRESS_CHECK = 5,
	PS_ADDRESS_BYTES = 1 + 32 + PS_KEY + PS_ADDRESS_CHECK, /* 70: exactly 112 letters of five bits */
	PS_ADDRESS_TEXT = PS_ADDRESS_BYTES * 8 / 5 + 1,        /* with its NUL */
};

struct ps_address {
	uint8_t public_key[32]; /* of the index pad */
	uint8_t read_key[PS_KEY];
};

void ps_address_print(const struct ps_address *address, char text[PS_ADDRESS_TEXT]);
/* PS_EINVAL: the form, the check, or a version that is not known. */
int ps_address_parse(const char *text, struct ps_address *address) __attribute__((warn_unused_result));
/* Where it is on every network. */
void ps_address_name(const struct ps_address *address, struct ps_pad_name *name);

#endif
