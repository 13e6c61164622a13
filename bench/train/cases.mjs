/**
 * The cases and rows of `npm run bench:train`, and what is the same for everyone. README.md explains them.
 */
import { MODELS } from '../lib/specs.mjs'

/** Of every case: InfoNCE, with the names of MultipleNegativesRankingLoss. */
export const SCALE = 20
export const MAX_GRAD_NORM = 1
export const LEARNING_RATE = { full: 5e-5, lora: 2e-4 }
/** Models of this bench: those that LORA fits. */
export const isTrained = (name) => MODELS[name]?.shape?.model_type !== 'qwen2'

/** All linear layers of a BERT, by the ends of their names. */
export const LORA = {
  rank: 16,
  alpha: 32,
  targets: ['query', 'key', 'value', 'attention.output.dense', 'intermediate.dense', 'output.dense'],
}
/** Texts of a part of a batch with gradient caching: sentence-transformers' default. Ours chooses its own. */
export const MINI_BATCH = 32

/**
 * pairs: of a batch. tokens: of every text; null = log-normal lengths. batches: that differ. steps: of a round. warm:
 * steps before those that count, in each process of ours and before the first round of theirs; theirWarm: of theirs if
 * it differs, because a step takes long and the smaller batches of the check have warmed the process. without: rows
 * that are not measured, for the same reason or because they have no target.
 */
export const CASES = {
  uniform: { title: '32 pairs of 32 tokens', pairs: 32, tokens: 32, batches: 8, steps: 3, warm: 2, without: [] },
  mixed: {
    title: '64 pairs of mixed lengths',
    pairs: 64,
    tokens: null,
    batches: 6,
    steps: 1,
    warm: 1,
    theirWarm: 0,
    without: ['embedcore-lora-recompute', 'sentence-transformers-lora-no-dropout'],
  },
  cached: {
    title: '256 pairs of 32 tokens, gradient caching',
    pairs: 256,
    tokens: 32,
    batches: 3,
    steps: 1,
    warm: 0,
    gradientCache: true,
    without: [
      'embedcore-recompute',
      'embedcore-lora-recompute',
      'sentence-transformers-no-dropout',
      'sentence-transformers-lora-no-dropout',
    ],
  },
}

/** Batches for the comparison of losses and gradients, of mixed lengths. */
export const CHECK = { pairs: 8, batches: 3 }

export const DTYPES = ['float32', 'bfloat16']

/** method: what is trained. ours: a row of the package. dropout: false = switched off. */
export const ROWS = [
  { id: 'embedcore', ours: true, method: 'full', dropout: true, recompute: false },
  { id: 'embedcore-recompute', ours: true, method: 'full', dropout: true, recompute: true },
  { id: 'embedcore-lora', ours: true, method: 'lora', dropout: true, recompute: false },
  { id: 'embedcore-lora-recompute', ours: true, method: 'lora', dropout: true, recompute: true },
  { id: 'sentence-transformers', method: 'full', dropout: true },
  { id: 'sentence-transformers-no-dropout', method: 'full', dropout: false },
  { id: 'sentence-transformers-lora', method: 'lora', dropout: true },
  { id: 'sentence-transformers-lora-no-dropout', method: 'lora', dropout: false },
]

/** The id of a row in a dtype. */
export const rowId = (row, dtype) => row.id + (dtype === 'bfloat16' ? '-bf16' : '')

/**
 * How much the first losses and gradient norms may differ from theirs, as a share. Sums of float32 in another order
 * differ by some 1e-6 for each of the products in a row; bfloat16 has 8 bits.
 */
export const AGREEMENT = { float32: 1e-3, bfloat16: 0.02 }
