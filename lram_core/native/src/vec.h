/* Vectors of the widest floats the instruction set has, as compiler vector extensions.
 *
 * Everything is written once over `vf`; instruction sets differ in VL, and in the few operations
 * that have no operator. All buffers are aligned to 64 bytes and padded to whole panels.
 */
#ifndef LRAM_VEC_H
#define LRAM_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(LRAM_AVX512)
#include <immintrin.h>
#define VL 16
#elif defined(LRAM_AVX2)
#include <immintrin.h>
#define VL 8
#else
#define VL 4
#endif

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

typedef float vf __attribute__((vector_size(VL * 4), may_alias));
typedef int32_t vi __attribute__((vector_size(VL * 4), may_alias));

INLINE vf load(const float *p) { return *(const vf *)p; }
INLINE void store(float *p, vf x) { *(vf *)p = x; }
INLINE vf splat(float x) { return x - (vf){0}; }

#if defined(LRAM_AVX512)
INLINE vf vmin(vf a, vf b) { return _mm512_min_ps(a, b); }
INLINE vf vmax(vf a, vf b) { return _mm512_max_ps(a, b); }
INLINE vf vabs(vf a) { return _mm512_abs_ps(a); }
#elif defined(LRAM_AVX2)
INLINE vf vmin(vf a, vf b) { return _mm256_min_ps(a, b); }
INLINE vf vmax(vf a, vf b) { return _mm256_max_ps(a, b); }
INLINE vf vabs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
#else
INLINE vf vselect(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
INLINE vf vmin(vf a, vf b) { return vselect(a < b, a, b); }
INLINE vf vmax(vf a, vf b) { return vselect(a > b, a, b); }
INLINE vf vabs(vf a) { return vmax(a, -a); }
#endif

INLINE float hsum(vf x) {
  float lane[VL];
  memcpy(lane, &x, sizeof lane);
  for (int width = VL / 2; width; width /= 2)
    for (int i = 0; i < width; i++) lane[i] += lane[i + width];
  return lane[0];
}

/* exp with a relative error of about 1e-7 (Cephes' polynomial); x is cut to the finite range. */
INLINE vf vexp(vf x) {
  const vf round = splat(12582912.0f); /* 1.5 * 2^23: adding it leaves the nearest integer */
  x = vmax(vmin(x, splat(88.0f)), splat(-87.0f));
  vf shifted = x * splat(1.44269504088896341f) + round;
  vf n = shifted - round;
  vf r = x - n * splat(0.693359375f);
  r = r + n * splat(2.12194440e-4f);
  vf p = splat(1.9875691500e-4f);
  p = p * r + splat(1.3981999507e-3f);
  p = p * r + splat(8.3334519073e-3f);
  p = p * r + splat(4.1665795894e-2f);
  p = p * r + splat(1.6666665459e-1f);
  p = p * r + splat(5.0000001201e-1f);
  p = p * (r * r) + (r + splat(1.0f));
  vi exponent = ((vi)shifted - (vi)round + 127) << 23;
  return p * (vf)exponent;
}

INLINE vf vsigmoid(vf x) { return splat(1.0f) / (splat(1.0f) + vexp(-x)); }
INLINE vf vsilu(vf x) { return x / (splat(1.0f) + vexp(-x)); }

INLINE float log_sigmoid(float x) { return fminf(x, 0.0f) - log1pf(expf(-fabsf(x))); }

#endif
