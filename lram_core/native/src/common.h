/* Parts that several blocks share: norms, dot products, the causal convolution. */
#ifndef LRAM_COMMON_H
#define LRAM_COMMON_H

#include "int8.h"

#define CONV 4      /* tokens that the causal convolution sees */
#define QKV_BLOCK 4 /* channels that a block-diagonal projection mixes */
#define NORM_EPS 1e-5f

/* Several vectors of weights, one after another without padding. */
static const float *take_vectors(arena *a, const int *counts, int vectors) {
  size_t total = 0;
  for (int i = 0; i < vectors; i++) total += counts[i];
  float *copy = take_floats(a, total);
  a->weight_bytes += total * sizeof(float);
  const float *found = copy;
  for (int i = 0; i < vectors; i++) {
    const float *source = next_weight(a);
    if (copy) {
      memcpy(copy, source, counts[i] * sizeof(float));
      copy += counts[i];
    }
  }
  return found;
}

/* The weight of a norm that scales by 1 + weight. */
static const float *take_norm(arena *a, int size) {
  float *copy = (float *)take_vector(a, size);
  if (copy)
    for (int i = 0; i < size; i++) copy[i] += 1.0f;
  return copy;
}

/* (size, 1, CONV) -> CONV x size, then the bias. */
static const float *take_taps(arena *a, int size) {
  const float *source = next_weight(a), *bias = next_weight(a);
  float *copy = take_floats(a, (size_t)(CONV + 1) * size);
  a->weight_bytes += sizeof(float) * (CONV + 1) * size;
  if (copy)
    for (int c = 0; c < size; c++) {
      for (int tap = 0; tap < CONV; tap++) copy[tap * size + c] = source[c * CONV + tap];
      copy[CONV * size + c] = bias[c];
    }
  return copy;
}

INLINE float dot(const float *a, const float *b, int size) {
  vf sum[4] = {{0}};
  int k = 0;
  for (; k + 4 * VL <= size; k += 4 * VL)
    UNROLL for (int j = 0; j < 4; j++) sum[j] += load(a + k + j * VL) * load(b + k + j * VL);
  for (; k < size; k += VL) sum[0] += load(a + k) * load(b + k);
  return hsum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

INLINE void dot_pair_of(const float *w0, const float *w1, const float *x, int size,
                        float out[LRAM_MAX_TOKENS][2], const int tokens) {
  vf sum[LRAM_MAX_TOKENS][2] = {{{0}}};
  for (int k = 0; k < size; k += VL)
    UNROLL for (int t = 0; t < tokens; t++) {
      vf in = load(x + (size_t)t * size + k);
      sum[t][0] += load(w0 + k) * in;
      sum[t][1] += load(w1 + k) * in;
    }
  UNROLL for (int t = 0; t < tokens; t++) {
    out[t][0] = hsum(sum[t][0]);
    out[t][1] = hsum(sum[t][1]);
  }
}

/* Two rows of weights times all tokens (tokens x size). */
static void dot_pair(const float *w0, const float *w1, const float *x, int size, int tokens,
                     float out[LRAM_MAX_TOKENS][2]) {
  if (tokens == 1) dot_pair_of(w0, w1, x, size, out, 1);
  else if (tokens == 2) dot_pair_of(w0, w1, x, size, out, 2);
  else dot_pair_of(w0, w1, x, size, out, 3);
}

/* y = (x - mean) / sqrt(var + eps) * weight + bias; x and y may be the same. */
static void layer_norm(const float *x, const float *weight, const float *bias, int size,
                       float *y) {
  vf total = splat(0.0f), square = splat(0.0f);
  for (int c = 0; c < size; c += VL) total += load(x + c);
  const vf mean = splat(hsum(total) / (float)size);
  for (int c = 0; c < size; c += VL) {
    vf centred = load(x + c) - mean;
    square += centred * centred;
  }
  const vf scale = splat(1.0f / sqrtf(hsum(square) / (float)size + NORM_EPS));
  for (int c = 0; c < size; c += VL) {
    vf scaled = (load(x + c) - mean) * scale * load(weight + c);
    if (bias) scaled += load(bias + c);
    store(y + c, scaled);
  }
}

static void rms_norm(const float *x, const float *weight, int size, float *y) {
  vf square = splat(0.0f);
  for (int c = 0; c < size; c += VL) square += load(x + c) * load(x + c);
  const vf scale = splat(1.0f / sqrtf(hsum(square) / (float)size + NORM_EPS));
  for (int c = 0; c < size; c += VL) store(y + c, load(x + c) * scale * load(weight + c));
}

/* Convolution and SiLU at token t: x (tokens of a stride) preceded by past (CONV - 1) x size. */
static void convolve(const float *taps, const float *past, int size, const float *x, int stride,
                     int t, float *y) {
  const float *row[CONV];
  for (int tap = 0; tap < CONV; tap++) {
    int at = t - (CONV - 1) + tap;
    row[tap] = at < 0 ? past + (size_t)(at + CONV - 1) * size : x + (size_t)at * stride;
  }
  for (int c = 0; c < size; c += VL) {
    vf sum = load(taps + (size_t)CONV * size + c);
    UNROLL for (int tap = 0; tap < CONV; tap++)
      sum += load(taps + (size_t)tap * size + c) * load(row[tap] + c);
    store(y + c, vsilu(sum));
  }
}

/* Keep the last CONV - 1 inputs. */
static void shift_past(float *past, int size, const float *x, int stride, int tokens) {
  for (int i = 0; i < CONV - 1; i++) {
    int at = i + tokens - (CONV - 1);
    const float *row = at < 0 ? past + (size_t)(i + tokens) * size : x + (size_t)at * stride;
    memcpy(past + (size_t)i * size, row, size * sizeof(float));
  }
}

#endif
