/* ps_multi_open_state: a lazy clone in a file that has no name. What is touched is written there, as in any
 * clone, so memory does not bound it; and the file system takes it back when the last descriptor goes,
 * whatever ends the process, so a crash at any moment leaves nothing to be removed. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/options.h"
#include "multistore/attached_internal.h"
#include "multistore/push_internal.h"
#include "multistore/state_view.h"

/* ---- a file without a name ---- */

/* Where a file system makes none without one (NFS), it has one for a moment. */
static int make_and_unname(const char *folder)
{
	char name[PATH_MAX];
	if (snprintf(name, sizeof(name), "%s/.padstone-state-XXXXXX", folder) >= (int)sizeof(name)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	int fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0 && unlink(name) != 0) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

static int open_nameless(const char *folder, int *fd)
{
	*fd = open(folder, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (*fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		*fd = make_and_unname(folder);
	return *fd < 0 ? ps_fail_errno(errno, "cannot make a file in '%s'", folder) : PS_OK;
}

/* ---- the store ---- */

/* Nothing of it is pushed, or shipped. */
static int take_options(const struct ps_multi_options *opts, struct ps_multi_options *known)
{
	int err = ps_options_take(known, sizeof(*known), opts, "multi options");
	if (err)
		return err;
	if (!known->network && !known->remote)
		return ps_fail(PS_EINVAL, "ps_multi_open_state: no network that the state is on");
	known->push_seconds = 0;
	known->push_bytes = 0;
	known->take_over = 0;
	known->log_ms = PS_LOG_OFF;
	return PS_OK;
}

static int take_base(const struct ps_base_options *base, int fd, struct ps_base_options *known)
{
	int err = ps_options_take(known, sizeof(*known), base, "base options");
	known->mode = PS_OPEN_EXISTING;
	known->use_fd = 1;
	known->fd = fd;
	return err;
}

static int clone_state(struct ps_attached *a, const struct ps_base_options *base,
                       const struct ps_multi_options *options, uint64_t state)
{
	const struct ps_clone_options clone = {.size = sizeof(clone),
	                                       .state = state,
	                                       .base = base,
	                                       .multi = options,
	                                       .without_log = 1,
	                                       .lazy = !options->whole};
	struct ps_clone_result result;
	int err = push_clone(a->r, NULL, &clone, &result, &a->made_of);
	if (!err)
		a->of_state = result.state;
	return err;
}

/* a is taken over by what is opened, unless it fails here. */
static int open_layers(const struct ps_base_options *base, const struct ps_multi_options *options,
                       struct ps_attached *a, ps_storer **multi)
{
	char name[64];
	ps_storer *inner;
	snprintf(name, sizeof(name), "state %llu", (unsigned long long)a->of_state);
	int err = ps_base_open(name, base, &inner);
	if (err)
		return err;
	err = ps_multi_open_attached(inner, options, a, multi);
	return err ? push_close_failed(inner, err) : PS_OK;
}

static int open_state(int fd, const struct ps_base_options *base, const struct ps_multi_options *options,
                      uint64_t state, bool (*unwanted)(void), ps_storer **multi)
{
	struct ps_base_options known;
	struct ps_attached *a;
	int err = take_base(base, fd, &known);
	if (!err)
		err = ps_attached_new(options, NULL, &a);
	if (err)
		return err;
	a->unwanted = unwanted;
	err = clone_state(a, &known, options, state);
	if (!err)
		err = open_layers(&known, options, a, multi);
	return err ? ps_attached_drop(a, err) : PS_OK;
}

int ps_state_open(const char *folder, const struct ps_base_options *base, const struct ps_multi_options *opts,
                  uint64_t state, bool (*unwanted)(void), ps_storer **s)
{
	struct ps_multi_options known;
	ps_storer *multi = NULL;
	int fd = -1;
	if (!folder || !s)
		return ps_fail(PS_EINVAL, "ps_multi_open_state: no folder, or no place for the store");
	int err = take_options(opts, &known);
	if (!err)
		err = open_nameless(folder, &fd);
	if (err)
		return err;
	err = open_state(fd, base, &known, state, unwanted, &multi);
	(void)close(fd); /* the store has its own */
	if (err)
		return err;
	err = ps_state_view_open(multi, s);
	return err ? push_close_failed(multi, err) : PS_OK;
}

int ps_multi_open_state(const char *folder, const struct ps_base_options *base,
                        const struct ps_multi_options *opts, uint64_t state, ps_storer **s)
{
	return ps_state_open(folder, base, opts, state, NULL, s);
}
