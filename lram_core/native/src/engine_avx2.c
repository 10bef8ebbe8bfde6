#if defined(__x86_64__)
#define LRAM_AVX2
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,prefer-vector-width=256")
#endif
#include "engine.inc"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
