#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define SPINS 20000 /* some 100 us */
#define CLOSED 0x7fffffff /* as the first unclaimed item: there is none */

struct pool {
  /* Number of the job << 32 | first item that nobody has claimed. Claimed by compare-and-swap:
   * who looked at an older job's fields then gets nothing. */
  _Alignas(64) _Atomic uint64_t ticket;
  _Alignas(64) _Atomic int done; /* items of the job in hand */
  _Alignas(64) _Atomic(pool_part) part;
  _Atomic(const void *) job;
  _Atomic int count, chunk;
  _Atomic int asleep, stop;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  pthread_t thread;
  pid_t owner; /* a process forked from it has the memory, not the thread */
};

static void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/* Do chunks of job number `number` until none is left; returns whether there was any. */
static int work(pool *p, uint64_t number) {
  int any = 0;
  for (;;) {
    uint64_t ticket = atomic_load(&p->ticket);
    pool_part part = atomic_load(&p->part);
    const void *job = atomic_load(&p->job);
    int count = atomic_load(&p->count), chunk = atomic_load(&p->chunk);
    int from = (int)(ticket & CLOSED);
    if (ticket >> 32 != number || from >= count) return any;
    int to = chunk < count - from ? from + chunk : count;
    if (!atomic_compare_exchange_weak(&p->ticket, &ticket, number << 32 | (uint64_t)to)) continue;
    part(job, from, to);
    any = 1;
    atomic_fetch_add(&p->done, to - from);
  }
}

static void *second_thread(void *argument) {
  pool *p = argument;
  int idle = 0;
  while (!atomic_load(&p->stop)) {
    if (work(p, atomic_load(&p->ticket) >> 32)) {
      idle = 0;
    } else if (++idle < SPINS) {
      pause_briefly();
    } else {
      pthread_mutex_lock(&p->mutex);
      atomic_store(&p->asleep, 1);
      while (atomic_load(&p->asleep) && !atomic_load(&p->stop))
        pthread_cond_wait(&p->wake, &p->mutex);
      pthread_mutex_unlock(&p->mutex);
      idle = 0;
    }
  }
  return NULL;
}

pool *lram_pool_create(int cpu) {
  pool *p = aligned_alloc(64, (sizeof *p + 63) / 64 * 64);
  if (!p) return NULL;
  atomic_init(&p->ticket, 0);
  atomic_init(&p->done, 0);
  atomic_init(&p->part, NULL);
  atomic_init(&p->job, NULL);
  atomic_init(&p->count, 0);
  atomic_init(&p->chunk, 1);
  atomic_init(&p->asleep, 0);
  atomic_init(&p->stop, 0);
  p->owner = getpid();
  pthread_mutex_init(&p->mutex, NULL);
  pthread_cond_init(&p->wake, NULL);
  if (pthread_create(&p->thread, NULL, second_thread, p)) {
    free(p);
    return NULL;
  }
#ifdef __linux__
  if (cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_setaffinity_np(p->thread, sizeof set, &set);
  }
#else
  (void)cpu;
#endif
  return p;
}

void lram_pool_destroy(pool *p) {
  if (getpid() == p->owner) {
    pthread_mutex_lock(&p->mutex);
    atomic_store(&p->stop, 1);
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->mutex);
    pthread_join(p->thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->mutex);
  }
  free(p);
}

void lram_pool_wake(pool *p) {
  if (!atomic_load(&p->asleep) || getpid() != p->owner) return;
  pthread_mutex_lock(&p->mutex);
  atomic_store(&p->asleep, 0);
  pthread_cond_signal(&p->wake);
  pthread_mutex_unlock(&p->mutex);
}

void lram_pool_run(pool *p, pool_part part, const void *job, int count, int chunk) {
  uint64_t number = ((atomic_load(&p->ticket) >> 32) + 1) & 0xffffffffu;
  lram_pool_wake(p);
  /* Closed while its fields change: who has read some of them then fails to claim. */
  atomic_store(&p->ticket, number << 32 | CLOSED);
  atomic_store(&p->done, 0);
  atomic_store(&p->part, part);
  atomic_store(&p->job, job);
  atomic_store(&p->count, count);
  atomic_store(&p->chunk, chunk);
  atomic_store(&p->ticket, number << 32);
  work(p, number);
  for (int spins = 0; atomic_load(&p->done) < count; spins++) {
    if (spins < SPINS) pause_briefly();
    else sched_yield();
  }
}
