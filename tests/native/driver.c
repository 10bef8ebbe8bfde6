/* Runs random models through the whole interface; built with sanitizers by
 * test_native_sanitizers.py. Every array has its exact size, so that a read or write beyond it is
 * found. Argument: an instruction set. Exit code 3: this CPU has it not. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../lram_core/native/src/lram_native.h"

#define MAX_WEIGHTS 400

static void *weights[MAX_WEIGHTS];
static int count;

static unsigned random_bits = 1;
static float uniform(void) { /* -1 to 1 */
  random_bits = random_bits * 1664525u + 1013904223u;
  return (float)(random_bits >> 8) / 8388608.0f - 1.0f;
}

static void floats(long size, float scale, float offset) {
  float *values = malloc(size * sizeof(float));
  for (long i = 0; i < size; i++) values[i] = scale * uniform() + offset;
  weights[count++] = values;
}

static void projection(long out, long in, int int8) {
  if (!int8) {
    floats(out * in, 0.3f, 0.0f);
    return;
  }
  signed char *values = malloc(out * in);
  for (long i = 0; i < out * in; i++) values[i] = (signed char)(127.0f * uniform());
  weights[count++] = values;
  floats(out * ((in + 31) / 32), 0.001f, 0.002f);
}

static void convolution(long size) {
  floats(size * 4, 0.5f, 0.0f);
  floats(size, 0.1f, 0.0f);
}

static void mlstm(const lram_shape *s, int int8) {
  long d = s->d_model, inner = 2 * d;
  floats(d, 0.1f, 0.0f);
  projection(2 * inner, d, int8);
  convolution(inner);
  for (int i = 0; i < 3; i++) floats(inner * 4, 0.5f, 0.0f);
  for (int i = 0; i < 2; i++) floats(s->num_heads * 3 * inner, 0.2f, 0.0f);
  for (int i = 0; i < 2; i++) floats(s->num_heads, 2.0f, 2.0f * i);
  floats(inner, 0.1f, 0.0f);
  floats(inner, 0.1f, 1.0f);
  projection(d, inner, int8);
}

static void slstm(const lram_shape *s, int int8) {
  long d = s->d_model, size = d / s->slstm_heads;
  floats(d, 0.1f, 0.0f);
  convolution(d);
  for (int i = 0; i < 2 * s->slstm_heads; i++) {
    floats(2 * size * size, 0.5f, 0.0f);
    floats(2 * size, 1.0f, 0.0f);
    floats(2 * size * size, 0.5f, 0.0f);
  }
  floats(d, 0.1f, 0.0f);
  floats(d, 0.1f, 0.0f);
  projection(2 * s->ffn_size, d, int8);
  projection(d, s->ffn_size, int8);
}

static void mamba(const lram_shape *s, int int8) {
  long d = s->d_model, inner = 2 * d;
  floats(d, 0.1f, 1.0f);
  projection(2 * inner, d, int8);
  convolution(inner);
  floats((s->dt_rank + 32) * inner, 0.3f, 0.0f);
  floats(inner * s->dt_rank, 0.5f, 0.0f);
  floats(inner, 1.0f, -3.0f);
  floats(inner * 16, 1.0f, 1.0f);
  floats(inner, 0.1f, 1.0f);
  projection(d, inner, int8);
}

static void require(int condition, const char *what) {
  if (condition) return;
  fprintf(stderr, "failed: %s\n", what);
  exit(1);
}

static void run(lram_shape shape, const char *isa) {
  count = 0;
  int sizes[] = {shape.observation_size, 1, 1};
  for (int i = 0; i < 3; i++) {
    floats(sizes[i], 0.5f, 0.0f);
    floats(sizes[i], 0.5f, 1.0f);
    floats((long)shape.d_model * sizes[i], 0.5f, 0.0f);
    floats(shape.d_model, 0.1f, 0.0f);
  }
  for (int i = 0; i < 2; i++) floats(shape.d_model, 0.1f, 1.0f - i);
  for (int i = 0; i < shape.num_layers; i++) {
    int int8 = shape.blocks[i] & LRAM_INT8, kind = shape.blocks[i] & ~LRAM_INT8;
    if (kind == LRAM_MLSTM) mlstm(&shape, int8);
    else if (kind == LRAM_SLSTM) slstm(&shape, int8);
    else mamba(&shape, int8);
  }
  long outputs = (long)shape.action_size * shape.bins;
  floats(shape.d_model, 0.1f, (shape.blocks[0] & ~LRAM_INT8) == LRAM_MAMBA);
  floats(outputs * shape.d_model, 0.3f, 0.0f);
  floats(outputs, 0.1f, 0.0f);

  lram_model *model = lram_create(&shape, (const void *const *)weights, isa);
  require(model != NULL, "lram_create");
  for (int i = 0; i < count; i++) free(weights[i]); /* the model has its own copy */

  long state_size = lram_state_size(model);
  float *state = malloc(state_size * sizeof(float)), *again = malloc(state_size * sizeof(float));
  float *observation = malloc(shape.observation_size * sizeof(float));
  float *logits = malloc(outputs * sizeof(float)), *repeated = malloc(outputs * sizeof(float));
  int64_t *bins = malloc(shape.action_size * sizeof(int64_t)), traffic[2];
  lram_traffic(model, traffic);
  require(traffic[0] > 0 && traffic[1] == state_size * (long)sizeof(float), "lram_traffic");
  lram_reset(model);
  for (int tick = 0; tick < 12; tick++) {
    for (int i = 0; i < shape.observation_size; i++) observation[i] = 1e3f * uniform() * uniform();
    if (tick % 3 == 1) lram_advance_reward(model, uniform());
    if (tick % 3 == 2) lram_tokenise_with_reward(model, observation, uniform(), uniform());
    else lram_tokenise(model, observation, uniform());
    lram_get_state(model, state);
    lram_step(model, logits, bins);
    lram_set_state(model, state);
    lram_get_state(model, again);
    require(!memcmp(state, again, state_size * sizeof(float)), "state round trip");
    lram_step(model, repeated, bins);
    require(!memcmp(logits, repeated, outputs * sizeof(float)), "a step repeated from its state");
    for (long i = 0; i < outputs; i++) require(isfinite(logits[i]), "finite logits");
    for (int i = 0; i < shape.action_size; i++)
      require(bins[i] >= 0 && bins[i] < shape.bins, "bins in range");
  }
  lram_reset(model);
  lram_get_state(model, state);
  for (long i = 0; i < state_size; i++) require(state[i] == 0.0f, "reset");
  lram_destroy(model);
  free(state), free(again), free(observation), free(logits), free(repeated), free(bins);
}

int main(int arguments, char **argument) {
  const char *isa = arguments > 1 ? argument[1] : "";
  if (!lram_isa(isa)) return 3;
  require(lram_isa("none of ours") == NULL, "an unknown instruction set is refused");
  for (int int8 = 0; int8 <= LRAM_INT8; int8 += LRAM_INT8)
    for (int threads = 1; threads <= 2; threads++) {
      int32_t mixed[] = {LRAM_MLSTM, LRAM_SLSTM + int8, LRAM_MLSTM + int8};
      int32_t slstms[] = {LRAM_SLSTM + int8}, mambas[] = {LRAM_MAMBA + int8, LRAM_MAMBA};
      lram_shape shape = {.observation_size = 5, .action_size = 3, .bins = 7, .threads = threads,
                          .second_cpu = -1, .slstm_heads = 1};
      /* Odd widths: partial panels, partial blocks of int8 weights, every width of tile. */
      int widths[] = {16, 48, 80, 128}, heads[] = {2, 3, 2, 4};
      for (int i = 0; i < 4; i++) {
        shape.d_model = widths[i];
        shape.num_heads = heads[i];
        shape.slstm_heads = i == 3 ? 4 : 1;
        shape.ffn_size = 64 + 64 * i;
        shape.dt_rank = 1 + 2 * i;
        shape.blocks = mixed, shape.num_layers = 3;
        run(shape, isa);
        shape.blocks = slstms, shape.num_layers = 1;
        run(shape, isa);
        shape.blocks = mambas, shape.num_layers = 2;
        run(shape, isa);
      }
    }
  static _Alignas(64) float data[1000];
  for (int i = 0; i < 1000; i++) data[i] = 1.0f;
  float total = lram_stream_read(data, sizeof data);
  require(total > 850.0f && total <= 1000.0f, "lram_stream_read");
  puts("ok");
  return 0;
}
