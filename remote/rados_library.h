/* librados, loaded when the first rados: network is opened: it brings a C++ run time and some 15 MB, which
 * nobody pays for who stays on disk. Types come from its header, functions from the library that is found. */
#ifndef PS_RADOS_LIBRARY_H
#define PS_RADOS_LIBRARY_H

#include <rados/librados.h>

#define RADOS_CALL_TABLE(X)                                                                                  \
	X(rados_version)                                                                                     \
	X(rados_create2)                                                                                     \
	X(rados_conf_read_file)                                                                              \
	X(rados_conf_set)                                                                                    \
	X(rados_connect)                                                                                     \
	X(rados_shutdown)                                                                                    \
	X(rados_mon_command)                                                                                 \
	X(rados_buffer_free)                                                                                 \
	X(rados_ioctx_create)                                                                                \
	X(rados_ioctx_destroy)                                                                               \
	X(rados_ioctx_set_namespace)                                                                         \
	X(rados_aio_create_completion2)                                                                      \
	X(rados_aio_get_return_value)                                                                        \
	X(rados_aio_wait_for_complete)                                                                       \
	X(rados_aio_release)                                                                                 \
	X(rados_aio_cancel)                                                                                  \
	X(rados_aio_stat)                                                                                    \
	X(rados_create_write_op)                                                                             \
	X(rados_release_write_op)                                                                            \
	X(rados_write_op_create)                                                                             \
	X(rados_write_op_cmpxattr)                                                                           \
	X(rados_write_op_write_full)                                                                         \
	X(rados_write_op_setxattr)                                                                           \
	X(rados_write_op_remove)                                                                             \
	X(rados_aio_write_op_operate)                                                                        \
	X(rados_create_read_op)                                                                              \
	X(rados_release_read_op)                                                                             \
	X(rados_read_op_stat)                                                                                \
	X(rados_read_op_getxattrs)                                                                           \
	X(rados_read_op_read)                                                                                \
	X(rados_aio_read_op_operate)                                                                         \
	X(rados_getxattrs_next)                                                                              \
	X(rados_getxattrs_end)                                                                               \
	X(rados_object_list_begin)                                                                           \
	X(rados_object_list_end)                                                                             \
	X(rados_object_list_is_end)                                                                          \
	X(rados_object_list_cursor_free)                                                                     \
	X(rados_object_list_cursor_cmp)                                                                      \
	X(rados_object_list_slice)                                                                           \
	X(rados_object_list)                                                                                 \
	X(rados_object_list_free)

struct rados_calls {
#define RADOS_CALL_MEMBER(name) __typeof__(&name) name;
	RADOS_CALL_TABLE(RADOS_CALL_MEMBER)
#undef RADOS_CALL_MEMBER
};

/* The calls of librados.so.2, the same for the whole process and never unloaded (its threads and static
 * objects would not survive that). Any thread. PS_ENOTSUP: the library is missing, or lacks a call. */
int ps_rados_library(const struct rados_calls **calls) __attribute__((warn_unused_result));

#endif
