/* What the command line of `padstone remote' may say beside what all commands have. */
#ifndef PS_CLI_REMOTE_OPTIONS_H
#define PS_CLI_REMOTE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct remote_watch;
struct secret;
struct ps_remote_index_result;
struct ps_remote_rebuild_result;
struct ps_remote_status;
struct cli_remote_options {
	const char *network, *key; /* or from the environment; network: as it is once it is looked for */
	uint64_t up, down;         /* bytes a second; 0: no limit */
	uint64_t inflight;         /* bytes; 0: the library's */
	int mode, verify;          /* enum ps_remote_mode, enum ps_remote_verify; 0: the library's */
	uint64_t max_pads;         /* 0: no limit */
	double max_cost;
	double rates[4]; /* a new pad, a request, a GiB up, a GiB down */
	bool create, replace, unverified, read, yes, dry_run, apply, ignore_silent, quick, tidy;
	double age_hours; /* 0: the library's */
	bool is_public, take_over, lazy, full;
	uint64_t state, history; /* of a store's pushes; state 0: the newest */
	bool at;                 /* the command works on that state, and not on STORE's file */
	uint64_t goal;           /* of contents that stay in the file */
	uint64_t max_lag;        /* seconds, if limits_lag */
	bool limits_lag;
	int level; /* zstd's; 0: the library's, -1: none */
	bool part; /* get --range */
	uint64_t from, len;
	double share;
	const char *repair_from, *head_code, *compare_with;
	const char *witness, *fallback; /* URLs of copies */
	const char *copy_to;
	bool all, behind; /* of a copy */
	enum cli_remote_stage {
		CLI_REMOTE_KEY,     /* what fails now is about the key */
		CLI_REMOTE_NETWORK, /* about the network, and the state on this machine */
		CLI_REMOTE_OPEN     /* about what is in the store */
	} stage;
	bool elsewhere;        /* contents of the store that is pushed are on another network */
	struct secret *secret; /* of the key file, while a store is open */
	struct ps_remote_rebuild_result *rebuilt;
	struct ps_remote_index_result *put_back;
	const struct ps_remote_status *standing; /* of a store, as its file has it */
	bool told;                               /* it was, with what the network says */
	struct remote_watch *watch;              /* of the open store's operations */
};

#endif
