/* Chooses the engine for this CPU and hands every call to it. */
#include "engine.h"

#include <string.h>

struct lram_model {
  const engine *engine;
};

int lram_version(void) { return LRAM_VERSION; }

#if defined(__x86_64__)
static int has_avx2(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}
#endif

static const engine *find(const char *wanted) {
  int best = !wanted || !*wanted;
#if defined(__x86_64__)
  if ((best || !strcmp(wanted, "avx512")) && has_avx512()) return &lram_engine_avx512;
  if ((best || !strcmp(wanted, "avx2")) && has_avx2()) return &lram_engine_avx2;
#endif
  if (best || !strcmp(wanted, "portable")) return &lram_engine_portable;
  return NULL;
}

const char *lram_isa(const char *wanted) {
  const engine *found = find(wanted);
  return found ? found->name : NULL;
}

lram_model *lram_create(const lram_shape *shape, const void *const *weights, const char *isa) {
  const engine *found = find(isa);
  return found ? found->create(shape, weights) : NULL;
}

void lram_destroy(lram_model *m) { m->engine->destroy(m); }
void lram_traffic(const lram_model *m, int64_t out[2]) { m->engine->traffic(m, out); }
int64_t lram_state_size(const lram_model *m) { return m->engine->state_size(m); }
void lram_get_state(const lram_model *m, float *state) {
  m->engine->copy_state((lram_model *)m, state, 0);
}
void lram_set_state(lram_model *m, const float *state) {
  m->engine->copy_state(m, (float *)state, 1);
}
void lram_reset(lram_model *m) { m->engine->reset(m); }
void lram_tokenise(lram_model *m, const float *observation, float return_to_go) {
  m->engine->tokenise(m, observation, return_to_go, NULL);
}
void lram_tokenise_with_reward(lram_model *m, const float *observation, float return_to_go,
                               float reward) {
  m->engine->tokenise(m, observation, return_to_go, &reward);
}
void lram_step(lram_model *m, float *logits, int64_t *bins) { m->engine->step(m, logits, bins); }
void lram_advance_reward(lram_model *m, float reward) { m->engine->advance_reward(m, reward); }

float lram_stream_read(const void *data, int64_t bytes) { return find(NULL)->stream_read(data, bytes); }
