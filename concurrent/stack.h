/* Ready-made stacks of layers over one file. */
#ifndef PS_STACK_H
#define PS_STACK_H

#include <padstone/base_store.h>
#include <padstone/concurrent_store.h>
#include <padstone/multi_store.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What ps_stack_open builds, as a description. */
#define PS_STACK_DEFAULT "concurrent(multi(base))"

/* Begins with its size; zero means the default everywhere. */
struct ps_stack_options {
	size_t size; /* sizeof(struct ps_stack_options) */
	const struct ps_base_options *base;
	const struct ps_concurrent_options *concurrent; /* of every concurrent layer in the stack */
	const struct ps_multi_options *multi;
};

/* The store in the file at path, under the layers that people want. opts may be NULL. With a network in
 * `multi`, and no file there, it is made from that. Errors of ps_base_open, ps_multi_open_at and
 * ps_concurrent_open. */
PS_CHECKED PS_API int ps_stack_open(const char *path, const struct ps_stack_options *opts, ps_storer **s);

/* The same under layers of one's own choice: names from the outermost to a leaf, "concurrent(base)",
 * "memory", "concurrent(multi(base))". PS_EINVAL, with what was understood, if it is no legal stack.
 * Where the leaf keeps nothing (memory), path is not used. */
PS_CHECKED PS_API int ps_stack_open_layers(const char *layers, const char *path,
                                           const struct ps_stack_options *opts, ps_storer **s);

#ifdef __cplusplus
}
#endif
#endif
