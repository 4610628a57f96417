/* Stands between librados in this process and the OSDs of a cluster, and does to their connections what it is
 * told. Every TCP connection to a loopback port but the monitor's goes through it: this file's connect()
 * takes the place of libc's, so the program that links it is linked with ENABLE_EXPORTS.
 *
 * It reads Ceph's messenger version 2.1 (mode crc) as far as the length of a frame, the type of a message and
 * its transaction, so that a fault meets the request that it is meant for, or its answer. A connection that
 * speaks anything else is passed on as it is. Bytes that were altered are for the messenger's checksums to
 * find; a request that comes again has the next sequence number, so that it gets past the messenger. */
#ifndef OSD_PROXY_H
#define OSD_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#define OSD_FAULT_TABLE(X)                                                                                   \
	X(OSD_RESET_BEFORE, "reset before it is carried out")                                                \
	X(OSD_CUT_REQUEST, "reset in the middle of the request")                                             \
	X(OSD_FLIP_REQUEST, "a bit of the request is another")                                               \
	X(OSD_TWICE, "the request comes twice")                                                              \
	X(OSD_REPLAY, "the request comes again before the next one")                                         \
	X(OSD_RESET_AFTER, "reset after it was carried out")                                                 \
	X(OSD_CUT_ANSWER, "reset in the middle of the answer")                                               \
	X(OSD_FLIP_ANSWER, "a bit of the answer is another")                                                 \
	X(OSD_STALL_BEFORE, "stall before it is carried out")                                                \
	X(OSD_STALL_IN_REQUEST, "stall in the middle of the request")                                        \
	X(OSD_LOSE_REQUEST, "stall before it is carried out, then a reset")                                  \
	X(OSD_STALL_AFTER, "stall after it was carried out")                                                 \
	X(OSD_STALL_IN_ANSWER, "stall in the middle of the answer")                                          \
	X(OSD_LOSE_ANSWER, "stall after it was carried out, then a reset")

enum osd_fault {
#define OSD_FAULT_ENUM(name, text) name,
	OSD_FAULT_TABLE(OSD_FAULT_ENUM)
#undef OSD_FAULT_ENUM
	    OSD_FAULTS,
};

const char *osd_fault_text(enum osd_fault fault);
/* Those from OSD_STALL_BEFORE on hold the connection until osd_proxy_release. */
static inline bool osd_fault_stalls(enum osd_fault fault)
{
	return fault >= OSD_STALL_BEFORE;
}

/* False if it cannot be started. */
bool osd_proxy_start(unsigned monitor_port);
/* Ends all its connections and threads. */
void osd_proxy_stop(void);
/* While set, new connections pass it by. */
void osd_proxy_pass_by(bool pass_by);
/* The next request to an OSD has this fault; `seed` says where it is cut, or which bit. */
void osd_proxy_arm(enum osd_fault fault, uint64_t seed);
/* From now on one of so many requests, and one of so many answers, has one of the faults that do not stall;
 * `seed` says which. 0: none any more. */
void osd_proxy_spoil(unsigned one_in, uint64_t seed);
/* How many faults there were. */
uint64_t osd_proxy_faults(void);
/* Waits until the fault that was armed has met its request (an answer's: the answer): false if it has not in
 * so long. */
bool osd_proxy_wait_met(unsigned timeout_s);
/* What is held goes on (or, of the two that lose, ends). */
void osd_proxy_release(void);

#endif
