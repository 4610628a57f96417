/* The one place that knows the layers by name. */
#include "concurrent/stack.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <padstone/memory_store.h>

#include "base/fail.h"

enum { LAYERS_MAX = 16 };

static int open_base(const char *path, const struct ps_stack_options *o, ps_storer **s)
{
	return ps_base_open(path, o->base, s);
}

static int open_memory(const char *path, const struct ps_stack_options *o, ps_storer **s)
{
	(void)path, (void)o;
	return ps_memory_open(NULL, s);
}

static int wrap_multi(ps_storer *inner, const struct ps_stack_options *o, ps_storer **s)
{
	return ps_multi_open(inner, o->multi, s);
}

static int wrap_concurrent(ps_storer *inner, const struct ps_stack_options *o, ps_storer **s)
{
	return ps_concurrent_open(inner, o->concurrent, s);
}

/* A layer wraps another one, or is a leaf. */
static const struct layer {
	const char *name;
	int (*open)(const char *path, const struct ps_stack_options *o, ps_storer **s);
	int (*wrap)(ps_storer *inner, const struct ps_stack_options *o, ps_storer **s);
} layers_known[] = {
    {.name = "base", .open = open_base},
    {.name = "memory", .open = open_memory},
    {.name = "multi", .wrap = wrap_multi},
    {.name = "concurrent", .wrap = wrap_concurrent},
};
enum { LAYERS_KNOWN = sizeof(layers_known) / sizeof(layers_known[0]) };

struct stack {
	const struct layer *layer[LAYERS_MAX]; /* the outermost first */
	size_t count;
};

static const struct layer *layer_named(const char *name, size_t len)
{
	for (size_t i = 0; i < LAYERS_KNOWN; i++) {
		if (strlen(layers_known[i].name) == len && memcmp(layers_known[i].name, name, len) == 0)
			return &layers_known[i];
	}
	return NULL;
}

static int parse(const char *text, struct stack *stack)
{
	const char *at = text;
	stack->count = 0;
	for (;;) {
		size_t len = strcspn(at, "()");
		const struct layer *layer = layer_named(at, len);
		if (!layer)
			return ps_fail(PS_EINVAL, "stack \"%s\": there is no layer \"%.*s\"", text, (int)len,
			               at);
		if (stack->count == LAYERS_MAX)
			return ps_fail(PS_EINVAL, "stack \"%s\": more than %d layers", text, LAYERS_MAX);
		stack->layer[stack->count++] = layer;
		at += len;
		if (*at != '(')
			break;
		if (layer->open)
			return ps_fail(PS_EINVAL, "stack \"%s\": %s wraps no other layer", text, layer->name);
		at++;
	}
	if (!stack->layer[stack->count - 1]->open)
		return ps_fail(PS_EINVAL, "stack \"%s\": %s needs a layer to wrap", text,
		               stack->layer[stack->count - 1]->name);
	if (strspn(at, ")") != stack->count - 1 || strlen(at) != stack->count - 1)
		return ps_fail(PS_EINVAL, "stack \"%s\": the brackets do not match", text);
	return PS_OK;
}

/* What was opened below is closed again; the sentence stays that of what failed. */
static int close_part(ps_storer *part, int err)
{
	char sentence[512];
	strncpy(sentence, ps_last_error_message(), sizeof(sentence) - 1);
	sentence[sizeof(sentence) - 1] = 0;
	int closed = ps_close(part);
	(void)closed;
	return ps_fail(err, "%s", sentence);
}

/* The leaf; a multi store right over a file opens that itself, since it may make it from a network. */
static int open_innermost(const struct stack *stack, const char *path, const struct ps_stack_options *o,
                          ps_storer **s, size_t *opened)
{
	const struct layer *leaf = stack->layer[stack->count - 1];
	bool at_once =
	    leaf->open == open_base && stack->count > 1 && stack->layer[stack->count - 2]->wrap == wrap_multi;
	*opened = at_once ? 2 : 1;
	return at_once ? ps_multi_open_at(path, o->base, o->multi, s) : leaf->open(path, o, s);
}

int ps_stack_open_layers(const char *layers, const char *path, const struct ps_stack_options *opts,
                         ps_storer **s)
{
	static const struct ps_stack_options defaults = {.size = sizeof(defaults)};
	const struct ps_stack_options *o = opts ? opts : &defaults;
	struct stack stack;
	ps_storer *outer = NULL;
	size_t opened;
	if (!layers || !s)
		return ps_fail(PS_EINVAL, "ps_stack_open_layers: no layers, or no place for the store");
	if (o->size != sizeof(*o))
		return ps_fail(PS_EINVAL, "stack options: size %zu is not that of a known struct", o->size);
	int err = parse(layers, &stack);
	if (err)
		return err;
	err = open_innermost(&stack, path, o, &outer, &opened);
	if (err)
		return err;
	for (size_t i = stack.count - opened; i-- > 0;) {
		err = stack.layer[i]->wrap(outer, o, &outer);
		if (err)
			return close_part(outer, err);
	}
	*s = outer;
	return PS_OK;
}

int ps_stack_open(const char *path, const struct ps_stack_options *opts, ps_storer **s)
{
	return ps_stack_open_layers(PS_STACK_DEFAULT, path, opts, s);
}
