/* The workloads in the order in which they run. A new one is a file and two lines here. */
#include "bench/harness.h"

extern const struct workload w1_load, w2_get, w3_overwrite, w4_batches, w5_mixed, w6_churn, w7_reopen,
    w8_cold;
extern const struct workload p1_streams, p2_batches, p3_compaction, p4_recovery, p5_growth;

const struct workload *const workloads[] = {
    &w1_load, &w2_get,     &w3_overwrite, &w4_batches,    &w5_mixed,    &w6_churn,  &w7_reopen,
    &w8_cold, &p1_streams, &p2_batches,   &p3_compaction, &p4_recovery, &p5_growth, NULL};
