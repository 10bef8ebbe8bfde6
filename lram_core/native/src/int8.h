/* int8 weights times the tokens of a tick.
 *
 * A panel's weights lie block by block: the block's scales, one for each output, then its integers
 * in parts of PART vectors of outputs. Tokens are rounded to 16-bit integers on the fly, so that
 * the sum over a block is one of integers, and exact; the portable kernel multiplies floats.
 */
#ifndef LRAM_INT8_H
#define LRAM_INT8_H

#include "linear.h"

#define BLOCK 32 /* inputs that share a scale, see lram_core/quantise.py */

/* Inputs whose int8 weights are neighbours in memory: those that one integer instruction takes
 * together, or that one 32-bit lane holds. */
#if defined(LRAM_AVX2)
#define GROUP 2
#else
#define GROUP 4
#endif
/* Vectors of a panel whose integer sums are in registers at a time, for all tokens. */
#define PART 2

/* A token's vector as integers, in the form that the integer kernel takes. */
typedef struct {
  float scale[LRAM_MAX_TOKENS];
  int blocks;
  int16_t *values;    /* AVX2: tokens x blocks x BLOCK */
  int8_t *high, *low; /* AVX-512: the same numbers as 256 * high + low */
  int32_t *offset;    /* AVX-512: tokens x blocks x 2, see quantise_block */
} integers;

/* From int8 (out, in) and float scales (out, ceil(in / BLOCK)). */
static linear take_linear_int8(arena *a, int in, int out) {
  linear l = shape_linear(in, out);
  const int8_t *source = next_weight(a);
  const float *scales = next_weight(a);
  int blocks = round_up(in, BLOCK) / BLOCK;
  size_t bytes = (size_t)l.panels * blocks * (PANEL * sizeof(float) + BLOCK * PANEL);
  char *packed = take(a, bytes);
  a->weight_bytes += bytes;
  l.quantised = (const int8_t *)packed;
  if (!packed) return l;
  for (int p = 0; p < l.panels; p++)
    for (int b = 0; b < blocks; b++) {
      float *scale = (float *)packed;
      for (int j = 0; j < PANEL; j++) {
        int row = p * PANEL + j;
        scale[j] = row < out ? scales[(size_t)row * blocks + b] : 0.0f;
      }
      int8_t *value = (int8_t *)(scale + PANEL);
      for (int part = 0; part < PANEL; part += PART * VL)
        for (int g = 0; g < BLOCK; g += GROUP)
          for (int j = part; j < part + PART * VL; j++)
            for (int i = 0; i < GROUP; i++) {
              int row = p * PANEL + j, k = b * BLOCK + g + i;
              int weight = row < out && k < in ? source[(size_t)row * in + k] : 0;
#if defined(LRAM_AVX512)
              weight ^= 0x80; /* + 128: the instruction wants them unsigned */
#endif
              *value++ = (int8_t)weight;
            }
      packed = (char *)value;
    }
  return l;
}

static void take_integers(arena *a, integers *q, int size) {
  int padded = round_up(size, BLOCK);
#if defined(LRAM_AVX2)
  q->values = take(a, sizeof(int16_t) * LRAM_MAX_TOKENS * padded);
#elif defined(LRAM_AVX512)
  q->high = take(a, (size_t)LRAM_MAX_TOKENS * padded);
  q->low = take(a, (size_t)LRAM_MAX_TOKENS * padded);
  q->offset = take(a, sizeof(int32_t) * LRAM_MAX_TOKENS * 2 * (padded / BLOCK));
#else
  (void)a, (void)q, (void)padded;
#endif
}

#if VL > 4
static void quantise_block(integers *q, const float *row, int in, int t, int b, float inverse) {
  size_t at = (size_t)(t * q->blocks + b) * BLOCK;
  int32_t value[BLOCK];
  for (int k = 0; k < BLOCK; k++) {
    float scaled = inverse > 0.0f && b * BLOCK + k < in ? row[b * BLOCK + k] * inverse : 0.0f;
    value[k] = (int32_t)(scaled + copysignf(0.5f, scaled));
  }
#if defined(LRAM_AVX2)
  for (int k = 0; k < BLOCK; k++) q->values[at + k] = (int16_t)value[k];
#else
  int32_t high_sum = 0, low_sum = 0;
  for (int k = 0; k < BLOCK; k++) {
    int32_t low = (int8_t)value[k], high = (value[k] - low) >> 8;
    q->high[at + k] = (int8_t)high;
    q->low[at + k] = (int8_t)low;
    high_sum += high;
    low_sum += low;
  }
  /* The weights are stored + 128: what that adds to a sum is taken off at its start. */
  q->offset[2 * (t * q->blocks + b)] = -128 * high_sum;
  q->offset[2 * (t * q->blocks + b) + 1] = -128 * low_sum;
#endif
}
#endif

/* Round tokens x (in) to integers: 16 bits, one scale a token. Far finer than the weights' 8 bits,
 * and an integer sum over a block is exact: |sum| <= 32 * 127 * 32639 < 2^31. */
#if VL > 4
static void quantise_tokens(integers *q, const float *x, int in, int tokens) {
  const float largest = 32639.0f; /* 127 * 256 + 127: both bytes of it are within int8 */
  q->blocks = round_up(in, BLOCK) / BLOCK;
  int stride = stride_of(in);
  for (int t = 0; t < tokens; t++) {
    const float *row = x + (size_t)t * stride;
    vf top = splat(0.0f), zero = splat(0.0f);
    for (int k = 0; k < in; k += VL) {
      top = vmax(top, vabs(load(row + k)));
      zero += load(row + k) * splat(0.0f);
    }
    float peak = 0.0f, nothing = hsum(zero); /* NaN when a value is not finite */
    for (int i = 0; i < VL; i++) peak = fmaxf(peak, top[i]);
    /* Not finite: the integers are all 0, and the scale makes every output NaN. A peak whose
     * inverse is not finite is as good as none. */
    float inverse = peak > 1e-30f && nothing == 0.0f ? largest / peak : 0.0f;
    q->scale[t] = nothing == 0.0f ? peak / largest : NAN;
    for (int b = 0; b < q->blocks; b++) quantise_block(q, row, in, t, b, inverse);
  }
}
#else
static void quantise_tokens(integers *q, const float *x, int in, int tokens) {
  (void)q, (void)x, (void)in, (void)tokens; /* the portable kernel multiplies floats */
}
#endif

/* sum += (one block of integer weights) * (the tokens' integers), in units of the tokens' scales.
 * `first` is the part of the panel that w and scale begin with. */
#if defined(LRAM_AVX512)
INLINE void add_part(vf sum[LRAM_MAX_TOKENS][PANEL_VECTORS], const int first, const float *scale,
                     const int8_t *w, const integers *q, const float *x, int stride, int in, int b,
                     const int tokens) {
  (void)x, (void)stride, (void)in;
  __m512i high[LRAM_MAX_TOKENS][PART], low[LRAM_MAX_TOKENS][PART];
  UNROLL for (int t = 0; t < tokens; t++) {
    const int32_t *offset = q->offset + 2 * (t * q->blocks + b);
    UNROLL for (int j = 0; j < PART; j++) {
      high[t][j] = _mm512_set1_epi32(offset[0]);
      low[t][j] = _mm512_set1_epi32(offset[1]);
    }
  }
  ROLLED for (int g = 0; g < BLOCK / GROUP; g++, w += PART * VL * GROUP) {
    __m512i weight[PART];
    UNROLL for (int j = 0; j < PART; j++) weight[j] = _mm512_load_si512(w + j * VL * GROUP);
    UNROLL for (int t = 0; t < tokens; t++) {
      size_t at = (size_t)(t * q->blocks + b) * BLOCK + g * GROUP;
      int32_t bytes[2];
      memcpy(&bytes[0], q->high + at, sizeof bytes[0]);
      memcpy(&bytes[1], q->low + at, sizeof bytes[1]);
      UNROLL for (int j = 0; j < PART; j++) {
        high[t][j] = _mm512_dpbusd_epi32(high[t][j], weight[j], _mm512_set1_epi32(bytes[0]));
        low[t][j] = _mm512_dpbusd_epi32(low[t][j], weight[j], _mm512_set1_epi32(bytes[1]));
      }
    }
  }
  UNROLL for (int t = 0; t < tokens; t++)
    UNROLL for (int j = 0; j < PART; j++) {
      __m512i both = _mm512_add_epi32(_mm512_slli_epi32(high[t][j], 8), low[t][j]);
      sum[t][first + j] += (vf)_mm512_cvtepi32_ps(both) * load(scale + j * VL);
    }
}
#elif defined(LRAM_AVX2)
INLINE void add_part(vf sum[LRAM_MAX_TOKENS][PANEL_VECTORS], const int first, const float *scale,
                     const int8_t *w, const integers *q, const float *x, int stride, int in, int b,
                     const int tokens) {
  (void)x, (void)stride, (void)in;
  __m256i total[LRAM_MAX_TOKENS][PART];
  UNROLL for (int t = 0; t < tokens; t++)
    UNROLL for (int j = 0; j < PART; j++) total[t][j] = _mm256_setzero_si256();
  ROLLED for (int g = 0; g < BLOCK / GROUP; g++, w += PART * VL * GROUP) {
    __m256i weight[PART];
    UNROLL for (int j = 0; j < PART; j++)
      weight[j] = _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)(w + j * VL * GROUP)));
    UNROLL for (int t = 0; t < tokens; t++) {
      int32_t pair;
      memcpy(&pair, q->values + (size_t)(t * q->blocks + b) * BLOCK + g * GROUP, sizeof pair);
      UNROLL for (int j = 0; j < PART; j++)
        total[t][j] = _mm256_add_epi32(
            total[t][j], _mm256_madd_epi16(weight[j], _mm256_set1_epi32(pair)));
    }
  }
  UNROLL for (int t = 0; t < tokens; t++)
    UNROLL for (int j = 0; j < PART; j++)
      sum[t][first + j] += (vf)_mm256_cvtepi32_ps(total[t][j]) * load(scale + j * VL);
}
#else
INLINE void add_part(vf sum[LRAM_MAX_TOKENS][PANEL_VECTORS], const int first, const float *scale,
                     const int8_t *w, const integers *q, const float *x, int stride, int in, int b,
                     const int tokens) {
  (void)q;
  vf total[LRAM_MAX_TOKENS][PART];
  UNROLL for (int t = 0; t < tokens; t++)
    UNROLL for (int j = 0; j < PART; j++) total[t][j] = splat(0.0f);
  int end = in < (b + 1) * BLOCK ? in : (b + 1) * BLOCK;
  ROLLED for (int k = b * BLOCK; k < end; k += GROUP, w += PART * VL * GROUP)
    UNROLL for (int j = 0; j < PART; j++) {
      vi four = *(const vi *)(w + j * VL * GROUP);
      UNROLL for (int i = 0; i < GROUP; i++) {
        /* Byte i of the lane, sign and all. */
        vf weight = __builtin_convertvector(four << (24 - 8 * i) >> 24, vf);
        UNROLL for (int t = 0; t < tokens; t++)
          total[t][j] += weight * splat(x[(size_t)t * stride + k + i]);
      }
    }
  UNROLL for (int t = 0; t < tokens; t++)
    UNROLL for (int j = 0; j < PART; j++) sum[t][first + j] += total[t][j] * load(scale + j * VL);
}
#endif

INLINE void panels_int8(const linear *l, const integers *q, const float *x, float *y, int add,
                        int from, int to, const int tokens) {
  int blocks = round_up(l->in, BLOCK) / BLOCK, stride = l->in_stride;
  const size_t step = PANEL * sizeof(float) + BLOCK * PANEL;
  const int8_t *at = l->quantised + (size_t)from * blocks * step;
  for (int p = from; p < to; p++) {
    vf sum[LRAM_MAX_TOKENS][PANEL_VECTORS];
    start_sums(l, sum, p, tokens);
    for (int b = 0; b < blocks; b++, at += step)
      UNROLL for (int first = 0; first < PANEL_VECTORS; first += PART)
        add_part(sum, first, (const float *)at + first * VL,
                 at + PANEL * sizeof(float) + first * VL * BLOCK, q, x, stride, l->in, b, tokens);
    if (VL > 4)
      UNROLL for (int t = 0; t < tokens; t++)
        UNROLL for (int j = 0; j < PANEL_VECTORS; j++) sum[t][j] *= splat(q->scale[t]);
    end_sums(l, sum, y, p, add, tokens);
  }
}

static linear take_linear(arena *a, int in, int out, int int8) {
  return int8 ? take_linear_int8(a, in, out) : take_linear_f32(a, in, out, 0);
}

/* Panels [from, to) of y = (add ? y : 0) + W x. For int8 weights x must lie in q as well. */
static void linear_panels(const linear *l, const integers *q, const float *x, float *y, int add,
                          int from, int to, int tokens) {
  if (l->quantised) {
    if (tokens == 1) panels_int8(l, q, x, y, add, from, to, 1);
    else if (tokens == 2) panels_int8(l, q, x, y, add, from, to, 2);
    else panels_int8(l, q, x, y, add, from, to, 3);
  } else {
    if (tokens == 1) panels_f32(l, x, y, add, from, to, 1);
    else if (tokens == 2) panels_f32(l, x, y, add, from, to, 2);
    else panels_f32(l, x, y, add, from, to, 3);
  }
}

#endif
