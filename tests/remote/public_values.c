/* Public values on a dir: network, for a reader that shares no line with the library: public_values FOLDER
 * makes FOLDER/network, and prints the name and the address of each; what it holds is the file FOLDER/NAME.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <padstone/public.h>

#include "remote/manager_internal.h"

static void check(int err, const char *what)
{
	if (err == PS_OK)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, ps_error_name(err), ps_last_error_message());
	exit(EXIT_FAILURE);
}

static void keep(const char *folder, const char *name, const uint8_t *bytes, size_t len)
{
	char path[4096];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "wb");
	if (file == NULL || fwrite(bytes, 1, len, file) != len || fclose(file) != 0)
		exit(EXIT_FAILURE);
}

static void tell(ps_remote *r, const char *name)
{
	char address[PS_PUBLIC_ADDRESS];

	check(ps_remote_address(r, name, address), name);
	printf("%s %s\n", name, address);
}

static void put(ps_remote *r, const char *folder, const char *name, size_t len, uint8_t seed)
{
	uint8_t *bytes = malloc(len + 1);

	if (bytes == NULL)
		exit(EXIT_FAILURE);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(seed + i * 7 + i / 251);
	check(
	    ps_remote_put_public(r, name, bytes, len,
	                         &(struct ps_remote_put){.size = sizeof(struct ps_remote_put), .replace = 1}),
	    name);
	keep(folder, name, bytes, len);
	free(bytes);
}

int main(int argc, char **argv)
{
	static const uint8_t user_key[PS_KEY] = {47, 11};
	struct ps_remote_options options = {.size = sizeof(options), .mode = PS_REMOTE_SMALL, .create = 1};
	struct ps_remote_key key = {.user_key = user_key};
	char url[4096], state[4096];
	ps_remote *r;

	if (argc != 2)
		return EXIT_FAILURE;
	(void)snprintf(url, sizeof(url), "dir:%s/network", argv[1]);
	(void)snprintf(state, sizeof(state), "%s/state", argv[1]);
	options.state = state;
	check(ps_remote_init(url, &key, &options, &r), "init");
	put(r, argv[1], "empty", 0, 1);
	put(r, argv[1], "one", 1, 2);
	put(r, argv[1], "changed", 9000, 4);
	put(r, argv[1], "changed", 7000, 5);
	tell(r, "empty");
	tell(r, "one");
	tell(r, "changed");
	/* Pads of 4 KiB: a manifest holds 31 of them. */
	for (unsigned mode = 0; mode < PS_MODES; mode++)
		r->payloads[mode] = 4096;
	put(r, argv[1], "two-pads", 5000, 3);
	tell(r, "two-pads");
	put(r, argv[1], "tree", 32 * 4096 - 3, 6);
	tell(r, "tree");
	put(r, argv[1], "ended", 100, 7);
	tell(r, "ended");
	check(ps_remote_remove(r, "ended"), "remove");
	(void)snprintf(state, sizeof(state), "%s/ended", argv[1]);
	(void)remove(state);
	check(ps_remote_close(r), "close");
	return EXIT_SUCCESS;
}
