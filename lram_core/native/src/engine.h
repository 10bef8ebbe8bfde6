/* What a build for one instruction set offers to api.c. */
#ifndef LRAM_ENGINE_H
#define LRAM_ENGINE_H

#include "lram_native.h"

typedef struct engine {
  const char *name;
  lram_model *(*create)(const lram_shape *, const void *const *);
  void (*destroy)(lram_model *);
  void (*traffic)(const lram_model *, int64_t[2]);
  int64_t (*state_size)(const lram_model *);
  void (*copy_state)(lram_model *, float *, int set);
  void (*reset)(lram_model *);
  void (*tokenise)(lram_model *, const float *, float, const float *reward);
  void (*step)(lram_model *, float *, int64_t *);
  void (*advance_reward)(lram_model *, float);
  float (*stream_read)(const void *, int64_t);
} engine;

extern const engine lram_engine_portable, lram_engine_avx2, lram_engine_avx512;

#endif
