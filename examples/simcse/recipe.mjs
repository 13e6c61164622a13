/**
 * Unsupervised SimCSE (Gao et al. 2021): sentences without labels. A sentence passes twice, the passes differ by
 * dropout alone, and each finds the other among the sentences of the batch. It begins with the first two layers of a
 * sentence encoder, whose upper layers made the vectors good.
 */
import path from 'node:path'
import { load } from 'embedcore'
import { random, sample } from '../lib/random.mjs'
import { readPairs, syntheticSets } from '../lib/sentence-pairs.mjs'
import { makeSmallModel } from '../lib/small-model.mjs'
import { cutModel } from './cut-model.mjs'

const LAYERS = 2
/** Sentences that are trained on. */
const SENTENCES = 2048
const SEED = 1

export const recipe = {
  name: 'simcse',
  folder: 'stsb',
  title: 'better sentence vectors from sentences without labels',
  seeds: '1,2,3',
  options: { model: { help: 'a BERT sentence encoder', default: 'sentence-transformers/all-MiniLM-L6-v2' } },

  async tasks({ data, models, directory }) {
    const next = random(SEED)
    const read = (part) => readPairs(path.join(data, `stsb-en-${part}.csv`))
    const [train, dev] = data === null ? syntheticSets(next) : [read('train'), read('dev')]
    const judged = new Set(dev.flatMap(({ sentence1, sentence2 }) => [sentence1, sentence2]))
    const texts = new Set(train.flatMap(({ sentence1, sentence2 }) => [sentence1, sentence2]))
    const sentences = sample(
      [...texts].filter((text) => !judged.has(text)),
      SENTENCES,
      next,
    )
    const small = models.model === null
    return [
      {
        name: small ? 'training' : `first-${LAYERS}-layers`,
        about: [`${sentences.length} sentences to train on`, `${dev.length} scored pairs, of other sentences`],
        train: {
          model: small
            ? makeSmallModel(path.join(directory, 'base'), { texts: [...texts, ...judged] })
            : cutModel(await pathOf(models.model), path.join(directory, 'base'), LAYERS),
          data: sentences.map((sentence) => ({ sentence })),
          loss: { type: 'MultipleNegativesRankingLoss', scale: 20 },
          sampler: 'no-duplicates',
          batchSize: 64,
          epochs: 1,
          learningRate: small ? 1e-3 : 1e-4,
          maxTokens: 48,
        },
        evaluators: [{ task: 'sts', name: 'sts', data: dev, similarityFnNames: ['cosine'] }],
        metrics: [['Spearman', 'sts_spearman_cosine', dev.length]],
        floors: {},
      },
    ]
  },
}

/** The directory of a model that may be named by its hub id. */
async function pathOf(name) {
  const model = await load(name)
  const { path: directory } = model.info
  await model.dispose()
  return directory
}
