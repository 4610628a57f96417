#include "remote/second.h"

#include "remote/manager_internal.h"

int ps_second_open(ps_remote *r, const char *url, const struct ps_network_options *options,
                   struct ps_second *second)
{
	struct ps_second made = {0};
	int err = ps_network_open(url, options, &made.network);
	if (err != PS_OK)
		return err;
	*second = made;
	err = ps_remote_start_workers(r, second->network, &second->limits, &second->limits_ready,
	                              &second->workers);
	if (err != PS_OK)
		(void)!ps_second_close(second); /* without workers nothing is busy */
	return err;
}

int ps_second_close(struct ps_second *second)
{
	int err = ps_workers_free(second->workers);
	if (err != PS_OK)
		return err;
	if (second->limits_ready)
		ps_limits_done(&second->limits);
	ps_network_close(second->network);
	*second = (struct ps_second){0};
	return PS_OK;
}
