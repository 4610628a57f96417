/* An application in C17 that knows Padstone only as installed. Its argument is the path of a store to make.
 */
#include <stdio.h>
#include <string.h>

#include <padstone/padstone.h>

static int failed(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, ps_last_error_message());
	return 1;
}

static int round_trip(ps_storer *store)
{
	static const char text[] = "a pad under every beam";
	char back[64];
	size_t len = 0;
	ps_id id = PS_ID_NONE;
	if (ps_put(store, text, sizeof(text), &id) != PS_OK)
		return failed("ps_put");
	if (ps_get(store, id, back, sizeof(back), &len) != PS_OK)
		return failed("ps_get");
	if (len != sizeof(text) || memcmp(text, back, len) != 0)
		return failed("other bytes");
	return 0;
}

int main(int argc, char **argv)
{
	ps_storer *store = NULL;
	if (ps_memory_open(NULL, &store) != PS_OK)
		return failed("ps_memory_open");
	if (round_trip(store) != 0 || ps_close(store) != PS_OK)
		return failed("in memory");
	if (argc != 2 || ps_base_open(argv[1], NULL, &store) != PS_OK)
		return failed("ps_base_open");
	if (round_trip(store) != 0 || ps_close(store) != PS_OK)
		return failed("in a file");
	return 0;
}
