/* Memory that the kernel or another process reads and writes too: loads that see all that was stored before the store
   they see, and stores that come after all that was done before them. */
#ifndef CLOUDMRI_SHARED_H
#define CLOUDMRI_SHARED_H
#include <stdint.h>

static inline uint32_t load32(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void store32(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline uint64_t load64(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void store64(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }

/* What was loaded before is not loaded again, or later, than what follows. */
static inline void after_loads(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }

/* Puts v where old stands; false where something else does. */
static inline int swap64(uint64_t *p, uint64_t old, uint64_t v) {
    return __atomic_compare_exchange_n(p, &old, v, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

#endif
