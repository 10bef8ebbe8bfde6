/* sLSTM block: convolution, scalar memory whose gates see its last output, gated feed-forward.
 *
 * Same arithmetic as lram_core/backbones/slstm_block.py and lram_core/slstm.py, where sources and
 * equations are named.
 */
#ifndef LRAM_SLSTM_H
#define LRAM_SLSTM_H

#include "common.h"

/* The gates of a head, in two pairs by what feeds them: i and f from the convolution's output, z
 * and o from its input. */
typedef struct {
  linear input[2], recurrent[2]; /* head size -> 2 * head size */
} slstm_head;

typedef struct {
  const float *norm, *taps, *group_norm, *ffn_norm;
  slstm_head *heads;
  linear up, down;          /* d_model -> 2 * ffn size, ffn size -> d_model */
  float *past;              /* (CONV - 1) x d_model */
  float *h, *c, *n, *m;     /* d_model */
} slstm;

typedef struct {
  int size, heads, ffn_size;
  float *conv;    /* tokens x d_model */
  float *gates;   /* heads x 2 x tokens x 2 * head size */
  float *read;    /* tokens x d_model */
  float *up, *gated; /* tokens x 2 * ffn size, tokens x ffn size */
} slstm_scratch;

static void take_slstm(arena *a, slstm *l, const lram_shape *s, int int8) {
  int d = s->d_model, size = d / s->slstm_heads;
  l->norm = take_norm(a, d);
  l->past = take_state(a, (CONV - 1) * d);
  l->taps = take_taps(a, d);
  slstm_head unused;
  l->heads = take(a, sizeof *l->heads * s->slstm_heads);
  for (int h = 0; h < s->slstm_heads; h++) {
    slstm_head *head = l->heads ? &l->heads[h] : &unused;
    for (int pair = 0; pair < 2; pair++) {
      head->input[pair] = take_linear_f32(a, size, 2 * size, 1);
      head->input[pair].in_stride = stride_of(d);
      head->recurrent[pair] = take_linear_f32(a, size, 2 * size, 0);
    }
  }
  l->h = take_state(a, d);
  l->c = take_state(a, d);
  l->n = take_state(a, d);
  l->m = take_state(a, d);
  l->group_norm = take_norm(a, d);
  l->ffn_norm = take_norm(a, d);
  l->up = take_linear(a, d, 2 * s->ffn_size, int8);
  l->down = take_linear(a, s->ffn_size, d, int8);
}

static void take_slstm_scratch(arena *a, slstm_scratch *m, const lram_shape *s) {
  int d = s->d_model;
  m->size = d;
  m->heads = s->slstm_heads;
  m->ffn_size = s->ffn_size;
  m->conv = take_floats(a, (size_t)LRAM_MAX_TOKENS * stride_of(d));
  m->gates = take_floats(a, (size_t)2 * m->heads * LRAM_MAX_TOKENS * stride_of(2 * d / m->heads));
  m->read = take_floats(a, (size_t)LRAM_MAX_TOKENS * stride_of(d));
  m->up = take_floats(a, (size_t)LRAM_MAX_TOKENS * stride_of(2 * s->ffn_size));
  m->gated = take_floats(a, (size_t)LRAM_MAX_TOKENS * stride_of(s->ffn_size));
}

/* One head and token, from the complete pre-activations (i, f) and (z, o). */
static void slstm_cell(const slstm *l, const float *i_f, const float *z_o, int at, int size,
                       float *read) {
  for (int k = 0; k < size; k += VL) {
    float *n = l->n + at + k, *m = l->m + at + k, *c = l->c + at + k;
    vf i = load(i_f + k), kept = load(m) - vsoftplus(-load(i_f + size + k));
    /* An empty memory has no scale to keep: the first input sets it. */
    kept = vselect(load(n) == splat(0.0f), splat(-1e30f), kept);
    vf top = vmax(i, kept), keep = vexp(kept - top), write = vexp(i - top);
    vf cell = load(c) * keep + write * vtanh(load(z_o + k)), norm = load(n) * keep + write;
    vf out = vsigmoid(load(z_o + size + k)) * cell / norm;
    store(m, top);
    store(c, cell);
    store(n, norm);
    store(l->h + at + k, out);
    store(read + at + k, out);
  }
}

/* Heads [from, to): all tokens, one after the other; from the normed input x. */
static void slstm_heads(const slstm *l, const slstm_scratch *m, const float *x, int from, int to,
                        int tokens) {
  int size = m->size / m->heads, stride = stride_of(2 * size);
  for (int h = from; h < to; h++) {
    const slstm_head *head = &l->heads[h];
    float *gates[2];
    for (int pair = 0; pair < 2; pair++) {
      gates[pair] = m->gates + (size_t)(2 * h + pair) * LRAM_MAX_TOKENS * stride;
      linear_panels(&head->input[pair], NULL, (pair ? x : m->conv) + h * size, gates[pair], 0, 0,
                    head->input[pair].panels, tokens);
    }
    for (int t = 0; t < tokens; t++) {
      for (int pair = 0; pair < 2; pair++)
        linear_panels(&head->recurrent[pair], NULL, l->h + h * size, gates[pair] + t * stride, 1, 0,
                      head->recurrent[pair].panels, 1);
      float *read = m->read + (size_t)t * stride_of(m->size);
      slstm_cell(l, gates[0] + t * stride, gates[1] + t * stride, h * size, size, read);
      layer_norm(read + h * size, l->group_norm + h * size, NULL, size, read + h * size);
    }
  }
}

static void slstm_conv(const slstm *l, slstm_scratch *m, const float *x, int tokens) {
  int stride = stride_of(m->size);
  for (int t = 0; t < tokens; t++)
    convolve(l->taps, l->past, m->size, x, stride, t, m->conv + (size_t)t * stride);
  shift_past(l->past, m->size, x, stride, tokens);
}

static void slstm_gate_ffn(slstm_scratch *m, int tokens) {
  for (int t = 0; t < tokens; t++) {
    const float *up = m->up + (size_t)t * stride_of(2 * m->ffn_size);
    float *gated = m->gated + (size_t)t * stride_of(m->ffn_size);
    for (int k = 0; k < m->ffn_size; k += VL)
      store(gated + k, vgelu(load(up + k)) * load(up + m->ffn_size + k));
  }
}

#endif
