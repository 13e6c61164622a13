/**
 * A decoder becomes an encoder: a small Qwen2 with random weights, whose matrices get low-rank updates (LoRA), whose
 * attention is made bidirectional, and whose mean of tokens a new projection takes to 768 dimensions. The base weights
 * stay as they are.
 */
import path from 'node:path'
import { readPairs } from '../products/pairs.mjs'
import { split } from '../products/held-out.mjs'
import { drawConcepts, makeVocabularies, say } from '../lib/made-words.mjs'
import { random, sample } from '../lib/random.mjs'
import { makeSmallModel } from '../lib/small-model.mjs'
import { tfidfRetrieval } from '../lib/tfidf.mjs'

const SETS = [
  ['amazon-google', 'train.txt'],
  ['wdc-computers', 'train.txt.medium'],
]
const TRAINED = 1500
const SEED = 1

/** Two shops without a common word. */
function syntheticPairs(next) {
  const [first, second] = makeVocabularies(2, 40, next)
  return Array.from({ length: 900 }, () => {
    const concepts = drawConcepts(40, 4, next)
    return { left: say(concepts, first, next), right: say(concepts, second, next), match: true }
  })
}

export const recipe = {
  name: 'decoder',
  folder: 'products',
  title: 'a decoder becomes an encoder, with LoRA',
  seeds: '1',
  options: { model: { help: 'a decoder (default: a small random Qwen2, made here)', default: null } },

  async tasks({ data, models, directory }) {
    const next = random(SEED)
    const sets =
      data === null
        ? [['synthetic', syntheticPairs(next)]]
        : SETS.map(([name, file]) => [name, readPairs(path.join(data, name, file))])
    const parts = sets.map(([name, pairs]) => split(name, pairs, SEED))
    const rows = sample(
      parts.flatMap((part) => part.rows),
      TRAINED,
      next,
    )
    const texts = [
      ...rows.flatMap(({ anchor, positive }) => [anchor, positive]),
      ...parts.flatMap(({ retrieval }) => [...retrieval.queries.values(), ...retrieval.corpus.values()]),
    ]
    return [
      {
        name: 'training',
        about: [
          `${rows.length} pairs to train on`,
          ...parts.map(
            ({ retrieval: { name, queries, corpus } }) =>
              `${name}: ${queries.size} held-out queries, ${corpus.size} documents`,
          ),
        ],
        train: {
          model: models.model ?? makeSmallModel(path.join(directory, 'base'), { type: 'qwen2', texts }),
          data: rows,
          loss: { type: 'MultipleNegativesRankingLoss', maskLabels: true },
          method: { type: 'lora', rank: 16, alpha: 32, targets: 'all-linear' },
          merge: true,
          pooling: 'mean',
          projection: 768,
          attention: 'bidirectional',
          sampler: 'no-duplicates',
          batchSize: 32,
          epochs: data === null ? 8 : 4,
          learningRate: 3e-3,
          maxTokens: 48,
        },
        evaluators: parts.map(({ retrieval }) => ({ task: 'retrieval', ...retrieval, mainSimilarity: 'cosine' })),
        metrics: parts.flatMap(({ retrieval: { name, queries } }) => [
          [`${name} accuracy@1`, `${name}_cosine_accuracy@1`, queries.size],
          ['mrr@10', `${name}_cosine_mrr@10`, queries.size],
        ]),
        floors: {
          chance: Object.assign({}, ...parts.map(({ retrieval }) => chance(retrieval))),
          'character TF-IDF': Object.assign({}, ...parts.map(({ retrieval }) => tfidfRetrieval(retrieval))),
        },
      },
    ]
  },
}

/** What documents in random order give: the expected accuracy@1. */
function chance({ name, corpus, relevantDocs }) {
  const shares = [...relevantDocs.values()].map(({ size }) => size / corpus.size)
  return { [`${name}_cosine_accuracy@1`]: shares.reduce((sum, share) => sum + share, 0) / shares.length }
}
