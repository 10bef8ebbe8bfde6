/* The kernel library's interface: one action model and its recurrent state behind one pointer.
 *
 * All sizes are in elements, all matrices row-major (out, in) as PyTorch keeps them; they are
 * copied and repacked by lram_create, so the caller may free its own afterwards.
 * One model is used by one thread at a time.
 */
#ifndef LRAM_NATIVE_H
#define LRAM_NATIVE_H

#include <stddef.h>
#include <stdint.h>

#define LRAM_VERSION 3
#define LRAM_MAX_TOKENS 3

#if defined(__GNUC__)
#define LRAM_API __attribute__((visibility("default")))
#else
#define LRAM_API
#endif

/* A block's kind; + LRAM_INT8 when its projections come as int8 values and float scales. */
enum lram_block { LRAM_MLSTM = 0, LRAM_SLSTM = 1, LRAM_MAMBA = 2, LRAM_INT8 = 16 };

typedef struct {
  int32_t observation_size, action_size, bins;
  int32_t d_model, num_layers;
  int32_t num_heads;             /* xLSTM */
  int32_t slstm_heads, ffn_size; /* sLSTM */
  int32_t dt_rank;               /* Mamba */
  int32_t threads;     /* 1 or 2 */
  int32_t second_cpu;  /* CPU that the second thread is pinned to; -1: not pinned */
  const int32_t *blocks; /* num_layers of enum lram_block */
} lram_shape;

typedef struct lram_model lram_model;

LRAM_API int lram_version(void);

/* Name of the instruction set that `wanted` stands for on this CPU ("" or NULL: the best one), or
 * NULL where the CPU or the build has it not. Names: portable, avx2, avx512. */
LRAM_API const char *lram_isa(const char *wanted);

/* Weights are read in the order that pack.py writes them. NULL when memory is short or `isa` is
 * not available. */
LRAM_API lram_model *lram_create(const lram_shape *shape, const void *const *weights,
                                 const char *isa);
LRAM_API void lram_destroy(lram_model *model);

/* Bytes read from memory at every tick: out[0] weights, out[1] state (also written). */
LRAM_API void lram_traffic(const lram_model *model, int64_t out[2]);

/* State in its canonical order and layout, see Runtime.state. */
LRAM_API int64_t lram_state_size(const lram_model *model);
LRAM_API void lram_get_state(const lram_model *model, float *state);
LRAM_API void lram_set_state(lram_model *model, const float *state);
LRAM_API void lram_reset(lram_model *model);

/* A tick: embed its tokens, then advance by them. Return-to-go and reward are scaled. */
LRAM_API void lram_tokenise(lram_model *model, const float *observation, float return_to_go);
LRAM_API void lram_tokenise_with_reward(lram_model *model, const float *observation,
                                        float return_to_go, float reward);
LRAM_API void lram_step(lram_model *model, float *logits, int64_t *bins);
LRAM_API void lram_advance_reward(lram_model *model, float reward);

/* Sum `bytes` of `data` as fast as one thread can read them: the memory-streaming limit. */
LRAM_API float lram_stream_read(const void *data, int64_t bytes);

#endif
