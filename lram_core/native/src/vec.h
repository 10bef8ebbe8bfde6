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
/* ROLLED: unrolled, the loop's vectors would not all fit the registers. */
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#define ROLLED _Pragma("nounroll")
#define SHUFFLE(x, ...) __builtin_shufflevector(x, x, __VA_ARGS__)
#else
#define UNROLL _Pragma("GCC unroll 16")
#define ROLLED _Pragma("GCC unroll 1")
#define SHUFFLE(x, ...) __builtin_shuffle(x, (vi){__VA_ARGS__})
#endif

typedef float vf __attribute__((vector_size(VL * 4), may_alias));
typedef int32_t vi __attribute__((vector_size(VL * 4), may_alias));

INLINE vf load(const float *p) { return *(const vf *)p; }
INLINE void store(float *p, vf x) { *(vf *)p = x; }
INLINE vf splat(float x) { return x - (vf){0}; }

INLINE vf vselect(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }

#if defined(LRAM_AVX512)
INLINE vf vmin(vf a, vf b) { return _mm512_min_ps(a, b); }
INLINE vf vmax(vf a, vf b) { return _mm512_max_ps(a, b); }
INLINE vf vabs(vf a) { return _mm512_abs_ps(a); }
#elif defined(LRAM_AVX2)
INLINE vf vmin(vf a, vf b) { return _mm256_min_ps(a, b); }
INLINE vf vmax(vf a, vf b) { return _mm256_max_ps(a, b); }
INLINE vf vabs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
#else
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

/* exp with a relative error of about 1e-7 (Cephes' polynomial); x is cut to the finite range.
 * NaN stays NaN: vmin and vmax return their second operand for it. */
INLINE vf vexp(vf x) {
  const vf round = splat(12582912.0f); /* 1.5 * 2^23: adding it leaves the nearest integer */
  x = vmax(splat(-87.0f), vmin(splat(88.0f), x));
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


/* log(1 + x) for 0 <= x <= 1 (Cephes' polynomial, and the rounding of 1 + x put back). */
INLINE vf vlog1p(vf x) {
  vf one = splat(1.0f), sum = x + one, lost = (x - (sum - one)) / sum;
  vi large = sum > splat(1.41421356f);
  vf r = vselect(large, sum * splat(0.5f), sum) - one, r2 = r * r;
  vf p = splat(7.0376836292e-2f);
  p = p * r + splat(-1.1514610310e-1f);
  p = p * r + splat(1.1676998740e-1f);
  p = p * r + splat(-1.2420140846e-1f);
  p = p * r + splat(1.4249322787e-1f);
  p = p * r + splat(-1.6668057665e-1f);
  p = p * r + splat(2.0000714765e-1f);
  p = p * r + splat(-2.4999993993e-1f);
  p = p * r + splat(3.3333331174e-1f);
  vf log = r + r2 * (r * p - splat(0.5f));
  return log + lost + vselect(large, splat(0.693147181f), splat(0.0f));
}

INLINE vf vsoftplus(vf x) { return vmax(splat(0.0f), x) + vlog1p(vexp(-vabs(x))); }

INLINE vf vtanh(vf x) {
  vf z = x * x, p = splat(-5.70498872745e-3f);
  p = p * z + splat(2.06390887954e-2f);
  p = p * z + splat(-5.37397155531e-2f);
  p = p * z + splat(1.33314422036e-1f);
  p = p * z + splat(-3.33332819422e-1f);
  vf wide = splat(1.0f) - splat(2.0f) / (vexp(x + x) + splat(1.0f));
  return vselect(vabs(x) < splat(0.625f), x + x * (z * p), wide);
}

/* x * Phi(x), with erf to 1.5e-7 (Abramowitz and Stegun, 7.1.26). */
INLINE vf vgelu(vf x) {
  vf a = vabs(x) * splat(0.707106781f), t = splat(1.0f) / (splat(1.0f) + a * splat(0.3275911f));
  vf p = splat(1.061405429f);
  p = p * t + splat(-1.453152027f);
  p = p * t + splat(1.421413741f);
  p = p * t + splat(-0.284496736f);
  p = p * t + splat(0.254829592f);
  vf tail = p * t * vexp(-(a * a)) * splat(0.5f); /* 1 - Phi(|x|) */
  return x * vselect(x < splat(0.0f), tail, splat(1.0f) - tail);
}

INLINE float log_sigmoid(float x) { return fminf(x, 0.0f) - log1pf(expf(-fabsf(x))); }

#endif
