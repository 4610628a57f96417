/* What an outcome is called, and which error it is. */
#include "base/error.h"
#include "remote/network.h"

const char *ps_outcome_text(enum ps_outcome outcome)
{
	switch (outcome) {
#define OUTCOME_TEXT(name, text)                                                                             \
	case name:                                                                                           \
		return text;
		PS_OUTCOME_TABLE(OUTCOME_TEXT)
#undef OUTCOME_TEXT
	}
	return "no outcome";
}

int ps_outcome_error(enum ps_outcome outcome)
{
	switch (outcome) {
	case PS_NET_DONE:
		return PS_OK;
	case PS_NET_CONFLICT:
		return PS_EBUSY;
	case PS_NET_ABSENT:
		return PS_ENOTFOUND;
	case PS_NET_FULL:
		return PS_ENOSPC;
	case PS_NET_TOO_BIG:
		return PS_ERANGE;
	case PS_NET_DENIED:
		return PS_EACCES;
	case PS_NET_UNAVAILABLE:
	case PS_NET_UNKNOWN:
		return PS_EUNAVAILABLE;
	}
	return PS_EINVAL;
}
