/* Mamba block: projection, convolution, selective state space, output gate, projection.
 *
 * Same arithmetic as lram_core/backbones/mamba.py and lram_core/selective_scan.py, where sources
 * and equations are named.
 */
#ifndef LRAM_MAMBA_H
#define LRAM_MAMBA_H

#include "common.h"

#define SSM_STATE 16

typedef struct {
  const float *norm, *taps;
  linear in, x, dt, out; /* d -> 2 inner, inner -> rank + 2 states, rank -> inner, inner -> d */
  const float *rates;    /* inner / VL x states x VL, negative */
  const float *skip;     /* inner */
  float *past;           /* (CONV - 1) x inner */
  float *ssm;            /* inner / VL x states x VL */
} mamba;

typedef struct {
  int inner, rank;
  float *up;   /* tokens x 2 * inner: x, z */
  float *conv; /* tokens x inner */
  float *selected; /* tokens x (rank, B, C) */
  float *dt;   /* tokens x inner */
  float *read; /* tokens x inner */
} mamba_scratch;

static void take_mamba(arena *a, mamba *l, const lram_shape *s, int int8) {
  int d = s->d_model, inner = 2 * d;
  l->norm = take_vector(a, d);
  l->in = take_linear(a, d, 2 * inner, int8);
  l->past = take_state(a, (CONV - 1) * inner);
  l->taps = take_taps(a, inner);
  l->x = take_linear_f32(a, inner, s->dt_rank + 2 * SSM_STATE, 0);
  l->dt = take_linear_f32(a, s->dt_rank, inner, 1);
  l->dt.in_stride = l->x.out_stride;
  const piece tiles = {.outer = inner / VL, .tiles = SSM_STATE, .rows = VL, .width = 1};
  float *rates = take_floats(a, (size_t)inner * SSM_STATE);
  const float *source = next_weight(a);
  a->weight_bytes += sizeof(float) * inner * SSM_STATE;
  if (rates) {
    copy_piece(&tiles, rates, (float *)source, 1);
    for (int i = 0; i < inner * SSM_STATE; i++) rates[i] = -expf(rates[i]);
  }
  l->rates = rates;
  l->ssm = take_state_tiles(a, inner / VL, SSM_STATE, VL, 1);
  l->skip = take_vector(a, inner);
  l->out = take_linear(a, inner, d, int8);
}

static void take_mamba_scratch(arena *a, mamba_scratch *m, const lram_shape *s) {
  int inner = 2 * s->d_model;
  m->inner = inner;
  m->rank = s->dt_rank;
  m->up = take_floats(a, (size_t)LRAM_MAX_TOKENS * stride_of(2 * inner));
  m->conv = take_floats(a, (size_t)LRAM_MAX_TOKENS * stride_of(inner));
  m->selected = take_floats(a, (size_t)LRAM_MAX_TOKENS * stride_of(m->rank + 2 * SSM_STATE));
  m->dt = take_floats(a, (size_t)LRAM_MAX_TOKENS * stride_of(inner));
  m->read = take_floats(a, (size_t)LRAM_MAX_TOKENS * stride_of(inner));
}

static void mamba_conv(const mamba *l, mamba_scratch *m, int tokens) {
  int stride = stride_of(2 * m->inner);
  for (int t = 0; t < tokens; t++)
    convolve(l->taps, l->past, m->inner, m->up, stride, t,
             m->conv + (size_t)t * stride_of(m->inner));
  shift_past(l->past, m->inner, m->up, stride, tokens);
}

/* Vectors [from, to) of channels: every token in turn, with the state in registers. */
INLINE void scan(const mamba *l, const mamba_scratch *m, int from, int to, const int tokens) {
  int stride = stride_of(m->inner), selected = stride_of(m->rank + 2 * SSM_STATE);
  for (int g = from; g < to; g++) {
    const float *rates = l->rates + (size_t)g * SSM_STATE * VL;
    float *state = l->ssm + (size_t)g * SSM_STATE * VL;
    vf dt[LRAM_MAX_TOKENS], drive[LRAM_MAX_TOKENS], y[LRAM_MAX_TOKENS];
    UNROLL for (int t = 0; t < tokens; t++) {
      vf x = load(m->conv + (size_t)t * stride + g * VL);
      dt[t] = vsoftplus(load(m->dt + (size_t)t * stride + g * VL));
      drive[t] = dt[t] * x;
      y[t] = x * load(l->skip + g * VL);
    }
    for (int n = 0; n < SSM_STATE; n++) {
      vf s = load(state + n * VL), rate = load(rates + n * VL);
      UNROLL for (int t = 0; t < tokens; t++) {
        const float *write = m->selected + (size_t)t * selected + m->rank + n;
        s = vexp(dt[t] * rate) * s + drive[t] * splat(write[0]);
        y[t] += s * splat(write[SSM_STATE]);
      }
      store(state + n * VL, s);
    }
    UNROLL for (int t = 0; t < tokens; t++) {
      vf z = load(m->up + (size_t)t * stride_of(2 * m->inner) + m->inner + g * VL);
      store(m->read + (size_t)t * stride + g * VL, y[t] * vsilu(z));
    }
  }
}

static void mamba_scan(const mamba *l, const mamba_scratch *m, int from, int to, int tokens) {
  if (tokens == 1) scan(l, m, from, to, 1);
  else if (tokens == 2) scan(l, m, from, to, 2);
  else scan(l, m, from, to, 3);
}

#endif
