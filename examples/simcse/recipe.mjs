/**
 * Unsupervised SimCSE (Gao et al. 2021): sentences without labels. A sentence passes twice, the passes differ by
 * dropout alone, and each finds the other among the sentences of the batch. It begins with the first two layers of a
 * sentence encoder, whose upper layers made the vectors good.
 */
import path from 'node:path'
import { readFileSync } from 'node:fs'
import { load } from 'embedcore'
import { drawConcepts, makeVocabularies, say } from '../lib/made-words.mjs'
import { random, sample } from '../lib/random.mjs'
import { makeSmallModel } from '../lib/small-model.mjs'
import { cutModel } from './cut-model.mjs'

const LAYERS = 2
/** Sentences that are trained on. */
const SENTENCES = 2048
const SEED = 1
/** Of the synthetic set: words, and such as are in every sentence. */
const [WORDS, FREQUENT] = [200, 10]

/** Pairs of sentences; the score is how many of their five words they share, and frequent words do not count. */
function syntheticPairs(count, [words, frequent], next) {
  const sentence = (concepts) => `${say(concepts, words, next)} ${say(drawConcepts(FREQUENT, 5, next), frequent, next)}`
  return Array.from({ length: count }, () => {
    const concepts = drawConcepts(WORDS, 10, next)
    const score = Math.floor(next() * 6)
    const second = [...concepts.slice(0, score), ...concepts.slice(5, 10 - score)]
    return { sentence1: sentence(concepts.slice(0, 5)), sentence2: sentence(second), score }
  })
}

function synthetic(next) {
  const [words, frequent] = makeVocabularies(2, WORDS, next)
  return [800, 200].map((count) => syntheticPairs(count, [words, frequent], next))
}

/** The STS benchmark: sentence1,sentence2,score without a header; quotes where a sentence has commas. */
function readPairs(file) {
  const line = /^(?:"((?:[^"]|"")*)"|([^,]*)),(?:"((?:[^"]|"")*)"|([^,]*)),([\d.]+)$/
  const text = (quoted, plain) => quoted?.replaceAll('""', '"') ?? plain
  return readFileSync(file, 'utf8')
    .split(/\r?\n/)
    .filter(Boolean)
    .map((row, i) => {
      const found = line.exec(row)
      if (found === null) throw new Error(`Expected two sentences and a score in line ${i + 1} of ${file}`)
      const [, quoted1, plain1, quoted2, plain2, score] = found
      return { sentence1: text(quoted1, plain1), sentence2: text(quoted2, plain2), score: Number(score) }
    })
}

export const recipe = {
  name: 'simcse',
  folder: 'stsb',
  title: 'better sentence vectors from sentences without labels',
  seeds: '1,2,3',
  options: { model: { help: 'a BERT sentence encoder', default: 'sentence-transformers/all-MiniLM-L6-v2' } },

  async tasks({ data, models, directory }) {
    const next = random(SEED)
    const read = (part) => readPairs(path.join(data, `stsb-en-${part}.csv`))
    const [train, dev] = data === null ? synthetic(next) : [read('train'), read('dev')]
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
