/* One allocation for a model: weights in the order they are streamed, state, scratch.
 *
 * A model is laid out twice by the same code: first with no memory, which counts, then for good.
 */
#ifndef LRAM_ARENA_H
#define LRAM_ARENA_H

#include <stddef.h>
#include <stdint.h>

/* A part of the state. Ours is (outer, tiles, rows, width), canonical (outer, rows, tiles, width). */
typedef struct {
  float *values;
  int outer, tiles, rows, width;
} piece;

typedef struct {
  char *base; /* NULL while counting */
  size_t used;
  const void *const *weights; /* the caller's next matrix */
  size_t weight_bytes, state_bytes; /* streamed by a tick */
  piece *pieces;                    /* of the state, in canonical order; NULL while counting */
  int num_pieces;
} arena;

static inline void *take(arena *a, size_t bytes) {
  void *found = a->base ? a->base + a->used : NULL;
  a->used += (bytes + 63) & ~(size_t)63;
  return found;
}

static inline float *take_floats(arena *a, size_t count) { return take(a, count * sizeof(float)); }

static inline float *take_state_tiles(arena *a, int outer, int tiles, int rows, int width) {
  size_t count = (size_t)outer * tiles * rows * width;
  float *values = take_floats(a, count);
  if (a->pieces) a->pieces[a->num_pieces] = (piece){values, outer, tiles, rows, width};
  a->num_pieces++;
  a->state_bytes += count * sizeof(float);
  return values;
}

static inline float *take_state(arena *a, int count) {
  return take_state_tiles(a, 1, 1, 1, count);
}

/* Between our layout of a piece and the canonical one. */
static inline void copy_piece(const piece *p, float *own, float *flat, int set) {
  for (int o = 0; o < p->outer; o++)
    for (int t = 0; t < p->tiles; t++)
      for (int r = 0; r < p->rows; r++, own += p->width) {
        float *other = flat + (((size_t)o * p->rows + r) * p->tiles + t) * p->width;
        for (int i = 0; i < p->width; i++) *(set ? own + i : other + i) = set ? other[i] : own[i];
      }
}

static inline size_t piece_count(const piece *p) {
  return (size_t)p->outer * p->tiles * p->rows * p->width;
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
