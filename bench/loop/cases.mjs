/**
 * The cases that must not block the event loop. Each has title; model, the key of one that loop.mjs prepares; setup()
 * once, prepare() before each run (not measured), task() measured, finish() after each run.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { normal, random } from '../lib/random.mjs'

const TOKENS = 100000
const ROWS = 100000
const WIDTH = 384
const DISPOSED = 'ERR_EMBEDCORE_DISPOSED'
/** Calls run this long before a model is disposed or a worker ended. */
const WARM_MS = 200
/** Work shortly after a call counts too: finalisers, and memory that is freed. */
export const TAIL_MS = 50
const ENCODE_SECONDS = 1

function randomVectors(rows) {
  const next = normal(random(1))
  // A block of random numbers, repeated: the arithmetic does not depend on them.
  const block = Float32Array.from({ length: 1000 * WIDTH }, () => next())
  return Float32Array.from({ length: rows * WIDTH }, (_, i) => block[i % block.length])
}

const load = ({ embedCore, directory, options }, extra) => embedCore.load(directory, { ...options, ...extra })

/** Texts of the uniform set, repeated until they have `tokens`. */
function textsOf({ texts, tokens }, most) {
  const out = []
  for (let sum = 0; sum < most; sum += tokens[(out.length - 1) % texts.length])
    out.push(texts[out.length % texts.length])
  return out
}

async function fails(promise, code) {
  const error = await promise.then(
    () => null,
    (reason) => reason,
  )
  if (error !== null && error.code !== code) throw error
}

const encodeFor = (batch) => ({
  title: `encode, calls of ${batch} texts`,
  model: 'minilm',
  setup: async (context) => ({ model: await load(context), texts: context.sets.mixed.texts.slice(0, batch) }),
  async task({ model, texts }) {
    const end = performance.now() + ENCODE_SECONDS * 1000
    while (performance.now() < end) await model.encode(texts)
  },
})

const similarityOf = (rowsA, rowsB) => ({
  title: `similarity of ${rowsA.toLocaleString('en-US')} x ${rowsB.toLocaleString('en-US')} x ${WIDTH}`,
  setup: ({ embedCore }) => ({ embedCore, a: randomVectors(rowsA), b: randomVectors(rowsB) }),
  task: ({ embedCore, a, b }) => embedCore.similarity(a, b, { dimension: WIDTH }),
})

export const CASES = {
  tokens: {
    title: `token output, ${TOKENS.toLocaleString('en-US')} tokens x ${WIDTH}, int8`,
    model: 'minilm',
    // In int8 results arrive fastest, and so do the copies that could block the loop.
    setup: async (context) => ({
      model: await load(context, { dtype: 'int8' }),
      texts: textsOf(context.sets.uniform, TOKENS),
    }),
    task: ({ model, texts }) => model.encode(texts, { output: 'token' }),
  },
  'dispose-busy': {
    title: 'dispose of a large model while calls run',
    model: 'large',
    setup: (context) => context,
    async prepare(context) {
      const model = await load(context)
      const calls = [0, 1, 2, 3].map(() => fails(model.encode(context.sets.uniform.texts.slice(0, 64)), DISPOSED))
      await sleep(WARM_MS)
      return { model, calls }
    },
    async task(_context, { model, calls }) {
      await model.dispose()
      await Promise.all(calls)
    },
  },
  'dispose-idle': {
    title: 'dispose of a large model, idle',
    model: 'large',
    setup: (context) => context,
    async prepare(context) {
      const model = await load(context)
      await model.encode('warm')
      return { model }
    },
    task: (_context, { model }) => model.dispose(),
  },
  load: {
    title: 'load of a large model',
    model: 'large',
    setup: (context) => context,
    task: (context) => load(context),
    finish: (model) => model.dispose(),
  },
  'similarity-square': similarityOf(2000, 2000),
  'similarity-tall': similarityOf(20000, 2000),
  ranges: {
    title: `quantizationRanges of ${ROWS.toLocaleString('en-US')} x ${WIDTH}`,
    setup: ({ embedCore }) => ({ embedCore, rows: randomVectors(ROWS) }),
    task: ({ embedCore, rows }) => embedCore.quantizationRanges(rows, { dimension: WIDTH }),
  },
  quantize: {
    title: `encode ${ROWS.toLocaleString('en-US')} one-word texts to int8 vectors of ${WIDTH}, one layer`,
    model: 'shallow',
    async setup(context) {
      const model = await load(context)
      const words = context.sets.mixed.texts.join(' ').split(' ')
      const texts = Array.from({ length: ROWS }, (_, i) => words[i % words.length])
      const ranges = await context.embedCore.quantizationRanges(await model.encode(texts.slice(0, 1000)))
      return { model, texts, ranges }
    },
    task: ({ model, texts, ranges }) => model.encode(texts, { precision: 'int8', ranges }),
  },
  'encode-32': encodeFor(32),
  'encode-256': encodeFor(256),
  terminate: {
    title: 'worker.terminate() with calls under way',
    model: 'minilm',
    setup: (context) => context,
    async prepare({ directory, options, sets }) {
      const texts = sets.mixed.texts.slice(0, 256)
      const worker = new Worker(new URL('./worker.mjs', import.meta.url), {
        workerData: { directory, options, texts, similarityRows: 2000 },
      })
      await new Promise((resolve, reject) => {
        let underWay = 0
        worker.on('message', () => ++underWay === 2 && resolve())
        worker.on('error', reject)
        worker.on('exit', () => reject(new Error('the worker ended before it was terminated')))
      })
      await sleep(WARM_MS)
      if (worker.threadId === -1) throw new Error('the worker ended before it was terminated')
      return { worker }
    },
    task: (_context, { worker }) => worker.terminate(),
  },
}
