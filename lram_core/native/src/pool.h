/* A second thread that takes chunks of the work in hand.
 *
 * Chunks are claimed one by one by both threads, so a tick waits for the second thread only while
 * that one is in the middle of a chunk, not when the system has not run it at all. It spins for a
 * while after its last chunk, then sleeps until it is woken by the next tick. A forked process has
 * no second thread: there the caller does all of the work.
 */
#ifndef LRAM_POOL_H
#define LRAM_POOL_H

typedef void (*pool_part)(const void *job, int from, int to);
typedef struct pool pool;

/* NULL when there is no memory or thread. cpu: to pin to, -1 for none. */
pool *lram_pool_create(int cpu);
void lram_pool_destroy(pool *p);

/* Tell the second thread that work is about to come. */
void lram_pool_wake(pool *p);

/* Call part for all of [0, count), in chunks of `chunk`, on both threads; returns when done. */
void lram_pool_run(pool *p, pool_part part, const void *job, int count, int chunk);

#endif
