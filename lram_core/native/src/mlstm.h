/* mLSTM block: up-projection, convolution, gated matrix memory, output gate, down-projection.
 *
 * Same arithmetic as lram_core/backbones/xlstm.py and lram_core/mlstm.py (the chunk form, with a
 * tick's tokens as the chunk), where sources and equations are named.
 */
#ifndef LRAM_MLSTM_H
#define LRAM_MLSTM_H

#include "common.h"

#define CELL_EPS 1e-6f
/* Widest column tile of the memory: reads and values of all tokens stay in registers. */
#if defined(LRAM_AVX512)
#define TILE_VECTORS 4
#else
#define TILE_VECTORS 2
#endif

typedef struct {
  const float *norm;              /* 1 + weight, d_model */
  linear up, down;                /* d_model -> 2 * inner, inner -> d_model */
  const float *taps;              /* CONV x inner, then the bias */
  const float *qkv;               /* 3 x inner / VL x QKV_BLOCK x VL */
  const float *gates;             /* 2 * heads x 3 * inner, input gates first; then the biases */
  const float *outnorm, *skip;    /* 1 + weight, inner; inner */
  float *past;                    /* (CONV - 1) x inner */
  float *memory;                  /* heads x tiles x head size (keys) x tile (values) */
  float *normaliser, *stabiliser; /* heads x head size, heads */
} mlstm;

/* What a head's tokens weigh: found before the sweep over its memory, used in it and after. */
typedef struct {
  float kept, inter[LRAM_MAX_TOKENS], divisor[LRAM_MAX_TOKENS];
  float weight[LRAM_MAX_TOKENS][LRAM_MAX_TOKENS]; /* reader, written token */
} head_weights;

typedef struct {
  int inner, heads, head_size, tile_vectors;
  float *up;      /* tokens x 2 * inner: x, z */
  float *conv;    /* tokens x inner */
  float *qkv;     /* tokens x 3 * inner */
  float *written; /* tokens x inner: keys as they are written */
  float *reads;   /* tokens x inner */
  head_weights *head;
  integers integers;
} mlstm_scratch;

static int tile_vectors(int head_size) {
  int vectors = TILE_VECTORS;
  while (head_size % (vectors * VL)) vectors /= 2;
  return vectors;
}

static void take_mlstm(arena *a, mlstm *l, const lram_shape *s, int int8) {
  int d = s->d_model, inner = 2 * d, head_size = inner / s->num_heads;
  l->norm = take_norm(a, d);
  l->up = take_linear(a, d, 2 * inner, int8);
  l->past = take_state(a, (CONV - 1) * inner);
  l->taps = take_taps(a, inner);
  const float *source[3];
  for (int i = 0; i < 3; i++) source[i] = next_weight(a);
  float *qkv = take_floats(a, (size_t)3 * inner * QKV_BLOCK);
  a->weight_bytes += sizeof(float) * 3 * inner * QKV_BLOCK;
  l->qkv = qkv;
  /* (block, out, in) -> vectors of neighbouring outputs, one for each input of their block. */
  if (qkv)
    for (int i = 0; i < 3; i++)
      for (int c = 0; c < inner; c += VL)
        for (int in = 0; in < QKV_BLOCK; in++)
          for (int lane = 0; lane < VL; lane++)
            *qkv++ = source[i][(size_t)(c + lane) * QKV_BLOCK + in];
  l->gates = take_vectors(a, (int[]){s->num_heads * 3 * inner, s->num_heads * 3 * inner,
                                     s->num_heads, s->num_heads}, 4);
  int width = tile_vectors(head_size) * VL;
  l->memory = take_state_tiles(a, s->num_heads, head_size / width, head_size, width);
  l->normaliser = take_state(a, inner);
  l->stabiliser = take_state(a, s->num_heads);
  l->outnorm = take_norm(a, inner);
  l->skip = take_vector(a, inner);
  l->down = take_linear(a, inner, d, int8);
}

static void take_mlstm_scratch(arena *a, mlstm_scratch *m, const lram_shape *s) {
  int inner = 2 * s->d_model;
  m->inner = inner;
  m->heads = s->num_heads;
  m->head_size = inner / s->num_heads;
  m->tile_vectors = tile_vectors(m->head_size);
  m->up = take_floats(a, (size_t)LRAM_MAX_TOKENS * stride_of(2 * inner));
  m->conv = take_floats(a, (size_t)LRAM_MAX_TOKENS * inner);
  m->qkv = take_floats(a, (size_t)LRAM_MAX_TOKENS * 3 * inner);
  m->written = take_floats(a, (size_t)LRAM_MAX_TOKENS * inner);
  m->reads = take_floats(a, (size_t)LRAM_MAX_TOKENS * stride_of(inner));
  m->head = take(a, sizeof(head_weights) * s->num_heads);
}

/* Input i of each output's block, to all of the block's lanes. */
#if VL == 16
#define BLOCK_INPUT(x, i) \
  SHUFFLE(x, i, i, i, i, i + 4, i + 4, i + 4, i + 4, i + 8, i + 8, i + 8, i + 8, i + 12, i + 12, \
          i + 12, i + 12)
#elif VL == 8
#define BLOCK_INPUT(x, i) SHUFFLE(x, i, i, i, i, i + 4, i + 4, i + 4, i + 4)
#else
#define BLOCK_INPUT(x, i) SHUFFLE(x, i, i, i, i)
#endif

INLINE vf block_diagonal(vf x, const float *w) {
  vf y = load(w) * BLOCK_INPUT(x, 0);
  y += load(w + VL) * BLOCK_INPUT(x, 1);
  y += load(w + 2 * VL) * BLOCK_INPUT(x, 2);
  y += load(w + 3 * VL) * BLOCK_INPUT(x, 3);
  return y;
}

/* Convolution, then queries and keys of its result and values of its input. */
static void mlstm_qkv(const mlstm *l, mlstm_scratch *m, int tokens) {
  int inner = m->inner, stride = stride_of(2 * inner);
  for (int t = 0; t < tokens; t++)
    convolve(l->taps, l->past, inner, m->up, stride, t, m->conv + (size_t)t * inner);
  shift_past(l->past, inner, m->up, stride, tokens);
  for (int t = 0; t < tokens; t++) {
    const float *x = m->up + (size_t)t * stride, *conv = m->conv + (size_t)t * inner;
    float *out = m->qkv + (size_t)t * 3 * inner;
    for (int i = 0; i < 3; i++) {
      const float *in = i == 2 ? x : conv, *w = l->qkv + (size_t)i * inner * QKV_BLOCK;
      for (int c = 0; c < inner; c += VL)
        store(out + (size_t)i * inner + c, block_diagonal(load(in + c), w + c * QKV_BLOCK));
    }
  }
}

/* Gate weights, stabilisers, overlaps and the normaliser of one head: everything but the memory. */
static void mlstm_head(const mlstm *l, mlstm_scratch *m, int h, int tokens,
                       const float gate[LRAM_MAX_TOKENS][2]) {
  int inner = m->inner, size = m->head_size;
  const float *q = m->qkv + (size_t)h * size, *k = q + inner;
  float *n = l->normaliser + (size_t)h * size;
  head_weights *w = &m->head[h];
  const float scale = 1.0f / sqrtf((float)size);
  const int step = 3 * inner;

  float decay[LRAM_MAX_TOKENS], stabiliser = 0.0f;
  for (int t = 0; t < tokens; t++)
    decay[t] = (t ? decay[t - 1] : 0.0f) + log_sigmoid(gate[t][1]);
  for (int t = 0; t < tokens; t++) {
    float inter = decay[t] + l->stabiliser[h], intra[LRAM_MAX_TOKENS];
    stabiliser = inter;
    for (int s = 0; s <= t; s++) {
      intra[s] = decay[t] - decay[s] + gate[s][0];
      stabiliser = fmaxf(stabiliser, intra[s]);
    }
    w->inter[t] = expf(inter - stabiliser);
    float overlap = w->inter[t] * dot(q + (size_t)t * step, n, size);
    for (int s = 0; s <= t; s++) {
      /* The last row is also what each token weighs in the new memory. */
      float gated = expf(intra[s] - stabiliser) * scale;
      w->weight[t][s] = gated * dot(q + (size_t)t * step, k + (size_t)s * step, size);
      overlap += w->weight[t][s];
      if (t == tokens - 1) {
        float *written = m->written + (size_t)s * inner + (size_t)h * size;
        for (int c = 0; c < size; c += VL)
          store(written + c, load(k + (size_t)s * step + c) * splat(gated));
      }
    }
    float magnitude = fabsf(overlap), least = expf(-stabiliser);
    w->divisor[t] = (magnitude < least ? least : magnitude) + CELL_EPS; /* NaN stays NaN */
  }
  w->kept = w->inter[tokens - 1];
  l->stabiliser[h] = stabiliser;
  const float *written = m->written + (size_t)h * size;
  for (int c = 0; c < size; c += VL) {
    vf sum = load(n + c) * splat(w->kept);
    for (int t = 0; t < tokens; t++) sum += load(written + (size_t)t * inner + c);
    store(n + c, sum);
  }
}

static void mlstm_gates(const mlstm *l, mlstm_scratch *m, int tokens) {
  const float *bias = l->gates + (size_t)m->heads * 2 * 3 * m->inner;
  for (int h = 0; h < m->heads; h++) {
    float gate[LRAM_MAX_TOKENS][2];
    const float *w = l->gates + (size_t)h * 3 * m->inner;
    dot_pair(w, w + (size_t)m->heads * 3 * m->inner, m->qkv, 3 * m->inner, tokens, gate);
    for (int t = 0; t < tokens; t++) {
      gate[t][0] += bias[h];
      gate[t][1] += bias[m->heads + h];
    }
    mlstm_head(l, m, h, tokens, gate);
  }
}

/* One tile of columns: read by every token, then decayed and written, in one sweep. */
INLINE void sweep_tile(float *tile, const float *q, int q_step, const float *written, int w_step,
                       const float *v, const head_weights *w, float *reads, int reads_step,
                       int size, const int tokens, const int vectors) {
  vf value[LRAM_MAX_TOKENS][TILE_VECTORS], sum[LRAM_MAX_TOKENS][TILE_VECTORS];
  const vf kept = splat(w->kept);
  UNROLL for (int t = 0; t < tokens; t++)
    UNROLL for (int j = 0; j < vectors; j++) {
      value[t][j] = load(v + (size_t)t * q_step + j * VL);
      sum[t][j] = splat(0.0f);
    }
  for (int k = 0; k < size; k++, tile += vectors * VL)
    UNROLL for (int j = 0; j < vectors; j++) {
      vf old = load(tile + j * VL), new = old * kept;
      UNROLL for (int t = 0; t < tokens; t++) {
        sum[t][j] += old * splat(q[(size_t)t * q_step + k]);
        new += value[t][j] * splat(written[(size_t)t * w_step + k]);
      }
      store(tile + j * VL, new);
    }
  UNROLL for (int t = 0; t < tokens; t++)
    UNROLL for (int j = 0; j < vectors; j++) {
      vf read = sum[t][j] * splat(w->inter[t]);
      UNROLL for (int s = 0; s <= t; s++) read += value[s][j] * splat(w->weight[t][s]);
      store(reads + (size_t)t * reads_step + j * VL, read / splat(w->divisor[t]));
    }
}

INLINE void sweep(const mlstm *l, const mlstm_scratch *m, int from, int to, const int tokens,
                  const int vectors) {
  int inner = m->inner, size = m->head_size, width = vectors * VL, tiles = size / width;
  for (int i = from; i < to; i++) {
    int h = i / tiles, column = h * size + i % tiles * width;
    sweep_tile(l->memory + (size_t)i * size * width, m->qkv + (size_t)h * size, 3 * inner,
               m->written + (size_t)h * size, inner, m->qkv + 2 * (size_t)inner + column,
               &m->head[h], m->reads + column, stride_of(inner), size, tokens, vectors);
  }
}

/* Tiles [from, to) of all heads' memories. */
static void mlstm_sweep(const mlstm *l, const mlstm_scratch *m, int from, int to, int tokens) {
#define SWEEP(vectors)                                                 \
  do {                                                                 \
    if (tokens == 1) sweep(l, m, from, to, 1, vectors);                \
    else if (tokens == 2) sweep(l, m, from, to, 2, vectors);           \
    else sweep(l, m, from, to, 3, vectors);                            \
  } while (0)
  if (m->tile_vectors == 1) SWEEP(1);
  else if (m->tile_vectors == 2) SWEEP(2);
#if TILE_VECTORS == 4
  else SWEEP(4);
#endif
#undef SWEEP
}

/* Norm of every head, skip connection, output gate: in place in the reads. */
static void mlstm_output(const mlstm *l, mlstm_scratch *m, int tokens) {
  int inner = m->inner, size = m->head_size;
  for (int t = 0; t < tokens; t++) {
    float *read = m->reads + (size_t)t * stride_of(inner);
    const float *conv = m->conv + (size_t)t * inner;
    const float *z = m->up + (size_t)t * stride_of(2 * inner) + inner;
    for (int h = 0; h < m->heads; h++)
      layer_norm(read + h * size, l->outnorm + h * size, NULL, size, read + h * size);
    for (int c = 0; c < inner; c += VL)
      store(read + c, (load(read + c) + load(l->skip + c) * load(conv + c)) * vsilu(load(z + c)));
  }
}

#endif
