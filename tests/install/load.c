/* Loads the library at run time, as a language binding does. Arguments: the library's path, that of a store
 * to make. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <padstone/padstone.h>

struct library {
	int (*base_open)(const char *, const struct ps_base_options *, ps_storer **);
	int (*put)(ps_storer *, const void *, size_t, ps_id *);
	int (*get)(ps_storer *, ps_id, void *, size_t, size_t *);
	int (*close)(ps_storer *);
};

/* ISO C has no cast from an object pointer to a function pointer; POSIX has the bytes agree. */
static int find(void *handle, const char *name, void *function)
{
	void *symbol = dlsym(handle, name);
	memcpy(function, &symbol, sizeof(symbol));
	return symbol != NULL;
}

static int use(const struct library *library, const char *path)
{
	ps_storer *store = NULL;
	ps_id id = PS_ID_NONE;
	char back[8];
	size_t len = 0;
	if (library->base_open(path, NULL, &store) != PS_OK || library->put(store, "stone", 5, &id) != PS_OK)
		return 1;
	if (library->get(store, id, back, sizeof(back), &len) != PS_OK || len != 5 ||
	    memcmp(back, "stone", 5) != 0)
		return 1;
	return library->close(store) != PS_OK;
}

int main(int argc, char **argv)
{
	struct library library;
	void *handle = argc == 3 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
	if (!handle) {
		fprintf(stderr, "%s\n", argc == 3 ? dlerror() : "usage: load LIBRARY STORE");
		return 1;
	}
	if (!find(handle, "ps_base_open", &library.base_open) || !find(handle, "ps_put", &library.put) ||
	    !find(handle, "ps_get", &library.get) || !find(handle, "ps_close", &library.close))
		return 1;
	return use(&library, argv[2]) || dlclose(handle);
}
