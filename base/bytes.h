/* Little-endian integers in on-disk structs: byte arrays, so that a struct has no padding and no alignment; and the
 * check that reserved bytes are zero. */
#ifndef PS_BYTES_H
#define PS_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct { uint8_t bytes[2]; } ps_le16;
typedef struct { uint8_t bytes[4]; } ps_le32;
typedef struct { uint8_t bytes[8]; } ps_le64;

static inline uint16_t ps_get16(ps_le16 v)
{
	uint16_t raw;
	memcpy(&raw, v.bytes, sizeof(raw));
	return le16toh(raw);
}

static inline uint32_t ps_get32(ps_le32 v)
{
	uint32_t raw;
	memcpy(&raw, v.bytes, sizeof(raw));
	return le32toh(raw);
}

static inline uint64_t ps_get64(ps_le64 v)
{
	uint64_t raw;
	memcpy(&raw, v.bytes, sizeof(raw));
	return le64toh(raw);
}

static inline ps_le16 ps_set16(uint16_t value)
{
	ps_le16 v;
	value = htole16(value);
	memcpy(v.bytes, &value, sizeof(value));
	return v;
}

static inline ps_le32 ps_set32(uint32_t value)
{
	ps_le32 v;
	value = htole32(value);
	memcpy(v.bytes, &value, sizeof(value));
	return v;
}

static inline ps_le64 ps_set64(uint64_t value)
{
	ps_le64 v;
	value = htole64(value);
	memcpy(v.bytes, &value, sizeof(value));
	return v;
}

/* Without a branch in the loop: the compiler makes vectors of it. */
static inline bool ps_all_zero(const void *data, size_t len)
{
	const uint8_t *bytes = data;
	uint8_t any = 0;
	for (size_t i = 0; i < len; i++)
		any |= bytes[i];
	return any == 0;
}

#endif
