/* Matrix times the 1 to 3 vectors of a tick, in one pass over the weights.
 *
 * Weights lie in panels of PANEL outputs, inside a panel input by input: a kernel reads them from
 * first byte to last and keeps the panel's sums of all tokens in registers. Vectors of tokens have
 * a stride of whole panels, so that the last panel may write its padding.
 */
#ifndef LRAM_LINEAR_H
#define LRAM_LINEAR_H

#include "arena.h"
#include "lram_native.h"
#include "vec.h"

#define PANEL_VECTORS 4
#define PANEL (PANEL_VECTORS * VL)
#define STRIDE_UNIT 64 /* whole panels of every instruction set */

typedef struct {
  int in, out, panels;
  int in_stride, out_stride; /* from token to token */
  const float *weight;       /* panels x in x PANEL; NULL with int8 weights */
  const int8_t *quantised;   /* see int8.h; NULL with float weights */
  const float *bias;         /* padded to whole panels; NULL without one */
} linear;

INLINE int stride_of(int size) { return round_up(size, STRIDE_UNIT); }

static linear shape_linear(int in, int out) {
  return (linear){.in = in, .out = out, .panels = round_up(out, PANEL) / PANEL,
                  .in_stride = stride_of(in), .out_stride = stride_of(out)};
}

static linear take_linear_f32(arena *a, int in, int out, int has_bias) {
  linear l = shape_linear(in, out);
  const float *source = next_weight(a);
  size_t count = (size_t)l.panels * PANEL * in;
  float *packed = take_floats(a, count);
  a->weight_bytes += count * sizeof(float);
  if (packed)
    for (int p = 0; p < l.panels; p++)
      for (int k = 0; k < in; k++)
        for (int j = 0; j < PANEL; j++) {
          int row = p * PANEL + j;
          *packed++ = row < out ? source[(size_t)row * in + k] : 0.0f;
        }
  l.weight = packed ? packed - count : NULL;
  if (has_bias) {
    const float *bias = next_weight(a);
    float *copy = take_floats(a, (size_t)l.panels * PANEL);
    a->weight_bytes += (size_t)out * sizeof(float);
    if (copy)
      for (int j = 0; j < l.panels * PANEL; j++) copy[j] = j < out ? bias[j] : 0.0f;
    l.bias = copy;
  }
  return l;
}

INLINE void start_sums(const linear *l, vf sum[LRAM_MAX_TOKENS][PANEL_VECTORS], int p,
                       const int tokens) {
  UNROLL for (int t = 0; t < tokens; t++)
    UNROLL for (int j = 0; j < PANEL_VECTORS; j++)
      sum[t][j] = l->bias ? load(l->bias + p * PANEL + j * VL) : splat(0.0f);
}

INLINE void end_sums(const linear *l, vf sum[LRAM_MAX_TOKENS][PANEL_VECTORS], float *y, int p,
                     int add, const int tokens) {
  int stride = l->out_stride;
  UNROLL for (int t = 0; t < tokens; t++)
    UNROLL for (int j = 0; j < PANEL_VECTORS; j++) {
      float *at = y + (size_t)t * stride + p * PANEL + j * VL;
      if (add) sum[t][j] += load(at);
      store(at, sum[t][j]);
    }
}

INLINE void panels_f32(const linear *l, const float *x, float *y, int add, int from, int to,
                       const int tokens) {
  int stride = l->in_stride;
  const float *w = l->weight + (size_t)from * PANEL * l->in;
  for (int p = from; p < to; p++) {
    vf sum[LRAM_MAX_TOKENS][PANEL_VECTORS];
    start_sums(l, sum, p, tokens);
    for (int k = 0; k < l->in; k++, w += PANEL) {
      vf in[LRAM_MAX_TOKENS];
      UNROLL for (int t = 0; t < tokens; t++) in[t] = splat(x[(size_t)t * stride + k]);
      UNROLL for (int j = 0; j < PANEL_VECTORS; j++) {
        vf weight = load(w + j * VL);
        UNROLL for (int t = 0; t < tokens; t++) sum[t][j] += weight * in[t];
      }
    }
    end_sums(l, sum, y, p, add, tokens);
  }
}

#endif
