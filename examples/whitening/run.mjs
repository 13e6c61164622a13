// Whitening, PCA and all-but-the-top on vectors that were never tuned and on vectors that were: how well cosines agree
// with people before and after.
//
//   node examples/whitening/run.mjs [--data DIR] [--model DIR] [--dimensions N] [--json]
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { evaluate, fitAllButTheTop, fitPca, fitWhitening, load } from 'embedcore'
import { random } from '../lib/random.mjs'
import { readPairs, syntheticSets } from '../lib/sentence-pairs.mjs'
import { makeSmallModel } from '../lib/small-model.mjs'
import { table } from '../lib/table.mjs'

const SEED = 1
const MODEL = 'sentence-transformers/all-MiniLM-L6-v2'
const HELP = `node examples/whitening/run.mjs: whitening before and after

  --data DIR        stsb-en-train.csv and stsb-en-dev.csv; without it the set is synthetic, by a fixed seed
  --model DIR       a directory or hub id (default ${MODEL}; without --data a small random one)
  --dimensions N    of whitening and PCA with fewer dimensions (default two thirds)
  --json            print one line of JSON in place of tables
  --help            print this
`

class UsageError extends Error {}

function readOptions(argv) {
  const options = {
    data: { type: 'string' },
    model: { type: 'string' },
    dimensions: { type: 'string' },
    json: { type: 'boolean' },
    help: { type: 'boolean' },
  }
  let values
  try {
    values = parseArgs({ args: argv, options }).values
  } catch (error) {
    throw new UsageError(`${error.message.split('. ')[0]}; --help lists the options`)
  }
  const { dimensions } = values
  if (dimensions !== undefined && !/^[1-9]\d*$/.test(dimensions))
    throw new UsageError(`Expected an integer for --dimensions but received '${dimensions}'`)
  return { ...values, dimensions: dimensions === undefined ? null : Number(dimensions) }
}

/** The vectors that are judged. The last are those that the model was trained to give. */
const VECTORS = {
  'layer 1, mean': { layers: 1, pooling: 'mean' },
  'first and last layer, mean': { layers: 'first-last', pooling: 'mean' },
  'as the model gives them': {},
}

/** Known vectors behind a map, for evaluate. */
const mapped = (known, map) => ({
  info: { similarity: 'cosine' },
  encode: async (texts, { signal }) => {
    const rows = known(texts)
    return map === null ? rows : map.apply(rows, { signal })
  },
})

/** Encodes texts once; returns a function that gives the vectors of some of them. */
async function vectorsOf(model, texts, encode) {
  const rows = await model.encode(texts, { ...encode, normalize: false })
  const places = new Map(texts.map((text, i) => [text, i]))
  const width = rows.shape[1]
  return (some) => {
    const data = new Float32Array(some.length * width)
    some.forEach((text, i) => data.set(rows.row(places.get(text)), i * width))
    return { data, shape: [some.length, width] }
  }
}

const scoreOf = async (encoder, pairs) =>
  (await evaluate(encoder, { task: 'sts', data: pairs, similarityFnNames: ['cosine'] })).score

/** Fits each map to the texts and judges it; the texts of the pairs are not among them. */
async function judge(model, { texts, pairs, judged, dimensions }) {
  const scores = {}
  for (const [name, encode] of Object.entries(VECTORS)) {
    const rows = await model.encode(texts, { ...encode, normalize: false })
    const known = await vectorsOf(model, judged, encode)
    const maps = {
      before: null,
      whitening: await fitWhitening(rows),
      [`whitening ${dimensions}`]: await fitWhitening(rows, { dimensions }),
      [`PCA ${dimensions}`]: await fitPca(rows, { dimensions }),
      'all but the top': await fitAllButTheTop(rows),
    }
    scores[name] = {}
    for (const [title, map] of Object.entries(maps)) scores[name][title] = await scoreOf(mapped(known, map), pairs)
  }
  return scores
}

/** The whitened first layer as a model of its own. */
async function judgeSaved(model, { texts, pairs }, directory) {
  const whitening = await fitWhitening(model, texts, { encode: VECTORS['layer 1, mean'] })
  await whitening.saveModel(model, directory)
  const saved = await load(directory)
  try {
    return { score: await scoreOf(saved, pairs), layers: saved.info.layers, dimension: saved.info.dimension }
  } finally {
    await saved.dispose()
  }
}

function setOf(data) {
  const read = (part) => readPairs(path.join(data, `stsb-en-${part}.csv`))
  const [train, dev] = data === undefined ? syntheticSets(random(SEED)) : [read('train'), read('dev')]
  const judged = new Set(dev.flatMap(({ sentence1, sentence2 }) => [sentence1, sentence2]))
  const all = new Set(train.flatMap(({ sentence1, sentence2 }) => [sentence1, sentence2]))
  return { texts: [...all].filter((text) => !judged.has(text)), pairs: dev, judged: [...judged] }
}

async function main(argv) {
  const values = readOptions(argv)
  if (values.help) return void process.stdout.write(HELP)
  const scratch = mkdtempSync(path.join(os.tmpdir(), 'embedcore-whitening-'))
  try {
    const { texts, pairs, judged } = setOf(values.data)
    const small = values.data === undefined && values.model === undefined
    const name = small
      ? makeSmallModel(path.join(scratch, 'small'), { texts: [...texts, ...judged] })
      : (values.model ?? MODEL)
    const model = await load(name)
    try {
      const dimensions = values.dimensions ?? Math.round((2 * model.info.hiddenSize) / 3)
      const scores = await judge(model, { texts, pairs, judged, dimensions })
      const saved = await judgeSaved(model, { texts, pairs }, path.join(scratch, 'whitened'))
      const synthetic = values.data === undefined
      const result = { example: 'whitening', synthetic, texts: texts.length, pairs: pairs.length, scores, saved }
      process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : report(result))
    } finally {
      await model.dispose()
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

function report({ synthetic, texts, pairs, scores, saved }) {
  const titles = Object.keys(Object.values(scores)[0])
  const rows = Object.entries(scores).map(([name, found]) => [name, ...titles.map((title) => found[title].toFixed(4))])
  return [
    `whitening: ${synthetic ? 'a synthetic set (no --data)' : 'real data (--data)'}`,
    `  maps fitted to ${texts} sentences; Spearman of the cosines with the scores of ${pairs} other pairs`,
    '',
    table(['', ...titles], rows),
    '',
    `the whitened first layer, saved and loaded: ${saved.score.toFixed(4)}, ${saved.layers} layer, ` +
      `${saved.dimension} dimensions`,
    '',
  ].join('\n')
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`whitening: ${error instanceof UsageError ? error.message : error.stack}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
})
