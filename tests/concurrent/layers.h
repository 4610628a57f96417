/* Layers that exist to try the concurrent one. Each owns its inner store from success on. */
#ifndef CONCURRENT_LAYERS_H
#define CONCURRENT_LAYERS_H

#include <stdbool.h>

#include <padstone/storer.h>

/* Not thread-safe, and says so: a call that begins while another is under way ends the process. Callbacks may
 * call it from the thread that is in a call. */
PS_CHECKED int lone_layer_open(ps_storer *inner, ps_storer **s);

/* Fails calls with PS_EIO, and does nothing then: one of `every`; 0, as at first: none. */
PS_CHECKED int fault_layer_open(ps_storer *inner, ps_storer **s);
void fault_layer_set(ps_storer *s, unsigned every);

/* Thread-safe for different objects only: what changes or reads an object does so in pieces with others'
 * turns between them. Says that it has PS_CAP_THREADS. Without locks above it, histories cannot be explained.
 */
PS_CHECKED int split_layer_open(ps_storer *inner, ps_storer **s);

#endif
