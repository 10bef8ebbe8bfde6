/* One allocation for a model: weights in the order they are streamed, state, scratch.
 *
 * A model is laid out twice by the same code: first with no memory, which counts, then for good.
 */
#ifndef LRAM_ARENA_H
#define LRAM_ARENA_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  char *base; /* NULL while counting */
  size_t used;
  const void *const *weights; /* the caller's next matrix */
  size_t weight_bytes, state_bytes; /* streamed by a tick */
} arena;

static inline void *take(arena *a, size_t bytes) {
  void *found = a->base ? a->base + a->used : NULL;
  a->used += (bytes + 63) & ~(size_t)63;
  return found;
}

static inline float *take_floats(arena *a, size_t count) { return take(a, count * sizeof(float)); }

static inline float *take_state(arena *a, size_t count) {
  a->state_bytes += count * sizeof(float);
  return take_floats(a, count);
}

static inline const void *next_weight(arena *a) { return *a->weights++; }

static inline int round_up(int value, int to) { return (value + to - 1) / to * to; }

/* A vector of weights, copied as it is. */
static inline const float *take_vector(arena *a, int count) {
  const float *source = next_weight(a);
  float *copy = take_floats(a, count);
  a->weight_bytes += count * sizeof(float);
  if (copy)
    for (int i = 0; i < count; i++) copy[i] = source[i];
  return copy;
}

#endif
