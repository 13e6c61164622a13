/**
 * Products: offers of the same product find each other. InfoNCE of the other rows of a batch, but not of offers of the
 * same product, and semi-hard triplets over all offers of the batch.
 */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { drawConcepts, makeVocabularies, say } from '../lib/made-words.mjs'
import { random, sample } from '../lib/random.mjs'
import { makeSmallModel } from '../lib/small-model.mjs'
import { tfidfRetrieval } from '../lib/tfidf.mjs'
import { split } from './held-out.mjs'
import { readPairs } from './pairs.mjs'

const SETS = [
  ['amazon-google', 'train.txt'],
  ['wdc-cameras', 'train.txt.large'],
  ['wdc-computers', 'train.txt.medium'],
]
/** Rows of a set that are trained on; the large sets would take most of the time. */
const MOST_ROWS = 500
const SPLIT_SEED = 1
/** Rows of a brand that has a source of its own. */
const BRAND_ROWS = 12

/** Two shops that name the same things differently, but for the number of the model. */
function syntheticPairs(next) {
  const [first, second] = makeVocabularies(2, 60, next)
  return Array.from({ length: 400 }, (_, i) => {
    const concepts = drawConcepts(60, 4, next)
    const offer = (words) => `${say(concepts, words, next)} ${i % 2 ? `model${i % 50}` : ''}`.trim()
    return { left: offer(first), right: offer(second), match: true }
  })
}

export const recipe = {
  name: 'products',
  folder: 'products',
  title: 'offers of the same product find each other',
  seeds: '1,2,3',
  options: { model: { help: 'the base model', default: 'sentence-transformers/all-MiniLM-L6-v2' } },

  async tasks({ data, models, directory }) {
    const next = random(SPLIT_SEED)
    const sets = data === null ? [['synthetic', syntheticPairs(next)]] : read(data)
    const parts = sets.map(([name, pairs]) => split(name, pairs, SPLIT_SEED))
    const sampled = parts.map((part) => sample(part.rows, MOST_ROWS, next))
    const rows = sampled.flat()
    const sources = Object.assign({}, ...parts.map((part, i) => byBrand(part.retrieval.name, sampled[i])))
    const { model = null } = models
    const texts = parts.flatMap(({ retrieval }) => [...retrieval.queries.values(), ...retrieval.corpus.values()])
    return [
      {
        name: 'training',
        about: [
          `${rows.length} pairs to train on, in ${Object.keys(sources).length} sources of one set and brand`,
          ...parts.map(
            ({ retrieval: { name, queries, corpus } }) =>
              `${name}: ${queries.size} held-out queries, ${corpus.size} documents`,
          ),
        ],
        train: {
          model:
            model ??
            makeSmallModel(path.join(directory, 'base'), {
              texts: [...texts, ...rows.flatMap(({ anchor, positive }) => [anchor, positive])],
            }),
          data: sources,
          loss: [
            { type: 'MultipleNegativesRankingLoss', maskLabels: true },
            { type: 'BatchSemiHardTripletLoss', distance: 'cosine', margin: 0.2, weight: 0.5 },
          ],
          // Labels serve as masks here: pairs of a product with one pair are trained on too.
          sampler: 'no-duplicates',
          batchSize: 32,
          epochs: data === null ? 6 : 2,
          learningRate: model === null ? 2e-3 : 6e-5,
          maxTokens: 48,
        },
        evaluators: parts.map(({ retrieval }) => ({
          task: 'retrieval',
          ...retrieval,
          mainSimilarity: 'cosine',
        })),
        metrics: parts.flatMap(({ retrieval: { name, queries } }) => [
          [`${name} accuracy@1`, `${name}_cosine_accuracy@1`, queries.size],
          ['mrr@10', `${name}_cosine_mrr@10`, queries.size],
        ]),
        floors: {
          'character TF-IDF': Object.assign({}, ...parts.map(({ retrieval }) => tfidfRetrieval(retrieval))),
        },
      },
    ]
  },
}

/**
 * A batch is of one source: with a source for each brand the other rows of a batch are similar products, and what tells
 * them apart is worth learning. Rows of rare brands share a source of their set.
 */
function byBrand(set, rows) {
  const brands = new Map()
  for (const row of rows) {
    const brand = row.anchor.toLowerCase().match(/[\p{L}\p{N}]+/u)?.[0] ?? ''
    if (!brands.has(brand)) brands.set(brand, [])
    brands.get(brand).push(row)
  }
  const sources = { [set]: [] }
  for (const [brand, own] of brands)
    if (own.length >= BRAND_ROWS) sources[`${set}, ${brand}`] = own
    else sources[set].push(...own)
  return sources[set].length >= 2 ? sources : { [set]: rows }
}

function read(data) {
  return SETS.map(([name, file]) => {
    const whole = path.join(data, name, file)
    if (!existsSync(whole)) throw new Error(`Expected the product pairs in ${whole} but there is no such file`)
    return [name, readPairs(whole)]
  })
}
