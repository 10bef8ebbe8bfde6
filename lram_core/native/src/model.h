/* The action model in memory: its parts, laid out in one arena, and its state. ENGINE is the engine
 * that it belongs to. */
#ifndef LRAM_MODEL_H
#define LRAM_MODEL_H

#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "common.h"
#include "engine.h"
#include "mamba.h"
#include "mlstm.h"
#include "pool.h"
#include "slstm.h"

#define HUGE_PAGE ((size_t)2 << 20)

typedef struct {
  const float *mean, *std;
  linear embed;
} input;

typedef struct {
  enum lram_block kind;
  union {
    mlstm mlstm;
    slstm slstm;
    mamba mamba;
  };
} layer;

struct lram_model {
  const engine *engine; /* first: api.c finds the functions through it */
  lram_shape shape;
  char *memory; /* the arena */
  size_t weight_bytes, state_bytes;
  input observation, return_to_go, reward;
  const float *embed_weight, *embed_bias; /* norm of the embedded tokens */
  layer *layers;
  const float *final_norm;
  linear head;
  piece *pieces; /* of the state */
  int num_pieces;
  mlstm_scratch mlstm;
  slstm_scratch slstm;
  mamba_scratch mamba;
  integers integers;
  pool *pool; /* NULL with one thread */
  int tokens;
  float *inputs;          /* the observation, standardised */
  float *token;           /* tokens of the tick */
  float *hidden, *normed; /* tokens x d_model */
  float *logits;
};

#define MAX_PIECES 5

static int is_mamba(const lram_shape *s) { return (s->blocks[0] & ~LRAM_INT8) == LRAM_MAMBA; }

static input take_input(arena *a, int size, int d) {
  input i;
  i.mean = take_vector(a, size);
  i.std = take_vector(a, size);
  i.embed = take_linear_f32(a, size, d, 1);
  return i;
}

/* Lay everything out in `a`, in the order in which a tick passes over it. */
static void take_model(lram_model *m, arena *a) {
  const lram_shape *s = &m->shape;
  int d = s->d_model;
  m->layers = take(a, sizeof(layer) * s->num_layers);
  m->pieces = a->pieces = take(a, sizeof(piece) * s->num_layers * MAX_PIECES);
  layer unused, *at = m->layers ? m->layers : &unused;
  m->observation = take_input(a, s->observation_size, d);
  m->return_to_go = take_input(a, 1, d);
  m->reward = take_input(a, 1, d);
  m->embed_weight = take_vector(a, d);
  m->embed_bias = take_vector(a, d);
  for (int i = 0; i < s->num_layers; i++) {
    int int8 = s->blocks[i] & LRAM_INT8;
    at->kind = (enum lram_block)(s->blocks[i] & ~LRAM_INT8);
    if (at->kind == LRAM_MLSTM) take_mlstm(a, &at->mlstm, s, int8);
    else if (at->kind == LRAM_SLSTM) take_slstm(a, &at->slstm, s, int8);
    else take_mamba(a, &at->mamba, s, int8);
    if (m->layers) at++;
  }
  m->final_norm = is_mamba(s) ? take_vector(a, d) : take_norm(a, d);
  m->head = take_linear_f32(a, d, s->action_size * s->bins, 1);
  if (is_mamba(s)) {
    take_mamba_scratch(a, &m->mamba, s);
  } else {
    take_mlstm_scratch(a, &m->mlstm, s);
    take_slstm_scratch(a, &m->slstm, s);
  }
  take_integers(a, &m->integers, s->ffn_size > 2 * d ? s->ffn_size : 2 * d);
  m->inputs = take_floats(a, stride_of(s->observation_size));
  m->token = take_floats(a, (size_t)LRAM_MAX_TOKENS * stride_of(d));
  m->hidden = take_floats(a, (size_t)LRAM_MAX_TOKENS * stride_of(d));
  m->normed = take_floats(a, (size_t)LRAM_MAX_TOKENS * stride_of(d));
  m->logits = take_floats(a, stride_of(s->action_size * s->bins));
}

static lram_model *create(const lram_shape *shape, const void *const *weights) {
  lram_model *m = calloc(1, sizeof *m);
  if (!m) return NULL;
  m->engine = &ENGINE;
  m->shape = *shape;
  arena a = {.weights = weights};
  take_model(m, &a);
  size_t size = (a.used + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  m->memory = aligned_alloc(HUGE_PAGE, size);
  if (!m->memory) {
    free(m);
    return NULL;
  }
#ifdef MADV_HUGEPAGE
  madvise(m->memory, size, MADV_HUGEPAGE);
#endif
  memset(m->memory, 0, size); /* every page is there before the first tick */
  a = (arena){.base = m->memory, .weights = weights};
  take_model(m, &a);
  m->shape.blocks = NULL; /* the caller's */
  m->tokens = 1;          /* a step before any tokens takes a token of zeros */
  m->num_pieces = a.num_pieces;
  m->weight_bytes = a.weight_bytes;
  m->state_bytes = a.state_bytes;
  if (shape->threads > 1 && !(m->pool = lram_pool_create(shape->second_cpu))) {
    free(m->memory);
    free(m);
    return NULL;
  }
  return m;
}

static void destroy(lram_model *m) {
  if (m->pool) lram_pool_destroy(m->pool);
  free(m->memory);
  free(m);
}

static void traffic(const lram_model *m, int64_t out[2]) {
  out[0] = (int64_t)m->weight_bytes;
  out[1] = (int64_t)m->state_bytes;
}

/* ---- state ---- */

static int64_t state_size(const lram_model *m) { return (int64_t)(m->state_bytes / sizeof(float)); }

static void copy_state(lram_model *m, float *flat, int set) {
  for (int i = 0; i < m->num_pieces; i++) {
    copy_piece(&m->pieces[i], m->pieces[i].values, flat, set);
    flat += piece_count(&m->pieces[i]);
  }
}

static void reset(lram_model *m) {
  for (int i = 0; i < m->num_pieces; i++)
    memset(m->pieces[i].values, 0, sizeof(float) * piece_count(&m->pieces[i]));
}

#endif
