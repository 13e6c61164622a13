/**
 * `node bench/gpu/roofline.mjs`: what the limits of a card say about the speed of an encoder, kernel by kernel. Each
 * kernel takes the longer of its arithmetic and its memory traffic; kernels do not overlap. The results are predictions
 * and no measurements; bench/gpu/run.sh measures.
 */
import { fileURLToPath } from 'node:url'
import { CARDS, SHAPES } from './cards.mjs'
import { UsageError, listOf, parseOptions, positive } from '../lib/options.mjs'
import { number, percent, table } from '../lib/table.mjs'

const OPTIONS = {
  cards: { type: 'string', value: 'LIST', default: Object.keys(CARDS).join(','), help: 'of ' + Object.keys(CARDS) },
  models: { type: 'string', value: 'LIST', default: Object.keys(SHAPES).join(','), help: 'of ' + Object.keys(SHAPES) },
  tokens: { type: 'string', value: 'N', default: '65536', help: 'tokens of a large batch' },
  length: { type: 'string', value: 'N', default: '128', help: 'tokens of each text' },
  query: { type: 'string', value: 'N', default: '10', help: 'tokens of a query' },
  kernels: { type: 'boolean', default: false, help: 'print each kernel of a layer' },
  json: { type: 'boolean', default: false, help: 'print one JSON object' },
}

/** Seconds from one kernel of a CUDA graph to the next. */
const NODE_GAP = 1.2e-6
/** A tile does this many steps of k in the time in which it starts its pipeline and stores its results. */
const TILE_OVERHEAD = { hopper: 110, other: 96 }
const TILE = { hopper: [128, 256], other: [128, 128] }

/** y [m, n] = x [m, k] w [n, k]^T in 16-bit numbers, with `extra` further bytes (a residual, float32 rows). */
function product(card, name, m, n, k, extra = 0) {
  const kind = card.hopper ? 'hopper' : 'other'
  const [tileM, tileN] = TILE[kind]
  const tiles = Math.ceil(m / tileM) * Math.ceil(n / tileN)
  const waves = Math.ceil(tiles / card.multiprocessors)
  // The part of the last wave that is busy counts; a persistent grid fills it better than whole tiles suggest.
  const filled = tiles / card.multiprocessors / waves
  const rate = card.peak * card.products * (k / (k + TILE_OVERHEAD[kind])) * filled
  const flops = 2 * m * n * k
  const bytes = 2 * (m * k + n * k) + extra
  return kernel(card, name, flops, rate, bytes)
}

/** A product of so few rows that reading the weights is all that counts. */
const skinny = (card, name, m, n, k) => kernel(card, name, 2 * m * n * k, card.peak, 2 * (n * k + m * (n + k)), true)

function kernel(card, name, flops, rate, bytes, small = false) {
  const arithmetic = flops / rate
  const memory = bytes / (card.bandwidth * card.copies)
  const seconds = Math.max(arithmetic, memory) + (small ? NODE_GAP : 0)
  return { name, flops, bytes, seconds, limit: arithmetic > memory ? 'arithmetic' : 'memory' }
}

/** The kernels of one layer for `tokens` tokens in texts of `length`. */
export function layerKernels(card, shape, tokens, length) {
  const { hidden: h, intermediate: i, heads, kvHeads, gated } = shape
  const kv = (h / heads) * kvHeads
  const small = tokens <= 64
  const linear = (name, n, k, extra) =>
    small ? skinny(card, name, tokens, n, k) : product(card, name, tokens, n, k, extra)
  const rows = (name, bytes) => kernel(card, name, 0, 1, tokens * bytes, small)
  // mma.sync reaches about half of Hopper's rate; a tile of a short text is partly empty.
  const fill = length / (Math.ceil(length / 16) * 16)
  const attentionRate = card.peak * card.products * (card.hopper ? 0.45 : 0.7) * fill
  return [
    linear('qkv', h + 2 * kv, h, 2 * tokens * (h + 2 * kv)),
    kernel(card, 'attention', 4 * tokens * length * h, attentionRate, 2 * tokens * (2 * h + 2 * kv), small),
    linear('out', h, h, 8 * tokens * h),
    rows('norm', 4 * h + 2 * h + (gated ? 0 : 4 * h)),
    linear('up', gated ? 2 * i : i, h, 2 * tokens * (gated ? 2 * i : i)),
    ...(gated ? [rows('gate', 6 * i)] : []),
    linear('down', h, i, 8 * tokens * h),
    rows('norm', 4 * h + 2 * h + (gated ? 0 : 4 * h)),
  ]
}

const sum = (list, of) => list.reduce((total, one) => total + of(one), 0)

function linearWeights({ hidden: h, intermediate: i, heads, kvHeads, gated, layers }) {
  return layers * (h * (h + 2 * (h / heads) * kvHeads) + h * h + (gated ? 3 : 2) * h * i)
}

export function predict(card, shape, { tokens, length, query }) {
  const kernels = layerKernels(card, shape, tokens, length)
  const seconds = shape.layers * sum(kernels, (k) => k.seconds)
  const flops = shape.layers * sum(kernels, (k) => k.flops)
  const few = layerKernels(card, shape, query, query)
  const read = (2 * linearWeights(shape)) / (card.bandwidth * card.copies)
  const latency = shape.layers * sum(few, (k) => k.seconds)
  return {
    tokensPerSecond: tokens / seconds,
    shareOfPeak: flops / seconds / card.peak,
    querySeconds: latency,
    queryOverRead: latency / read,
    kernels,
  }
}

/** One query over 30 million products of 768 dimensions: binary first pass on the card, rescoring of 1,000 on the host. */
export function searchSeconds(card, { rows = 30e6, dimensions = 768, rescored = 1000 } = {}) {
  const pass = (rows * dimensions) / 8 / (card.bandwidth * card.copies)
  // Random reads of int8 rows from a memory map that is in memory: one microsecond each.
  return { pass, rescoring: rescored * 1e-6 }
}

function print(results, { tokens, length, query, kernels }) {
  console.log(
    `Predictions from limits, no measurements: ${number(tokens)} tokens in texts of ${length}, 16-bit numbers.`,
  )
  console.log(`A query has ${query} tokens.\n`)
  const rows = results.map(({ card, shape, predicted: p }) => [
    `${card.title}${card.measured ? '' : ' (estimated limits)'}`,
    shape.title,
    number(p.tokensPerSecond),
    percent(p.shareOfPeak),
    `${number(1e3 * p.querySeconds, 2)} ms`,
    p.queryOverRead.toFixed(2),
  ])
  console.log(table(['card', 'model', 'tokens/s', 'of the peak', 'query', 'over reading'], rows))
  if (kernels) {
    for (const { card, shape, predicted } of results) {
      console.log(`\n${shape.title} on ${card.title}, one layer`)
      const lines = predicted.kernels.map((k) => [
        k.name,
        `${number(1e6 * k.seconds, 1)} us`,
        k.limit,
        `${number(k.flops / k.seconds / 1e12, 0)} TFLOP/s`,
        `${number(k.bytes / k.seconds / 1e9, 0)} GB/s`,
      ])
      console.log(table(['kernel', 'time', 'limit', 'rate', 'traffic'], lines))
    }
  }
  const seven = results.filter(({ shape }) => shape === SHAPES['qwen2-7b'])
  if (seven.length === 0) return
  console.log('\nA query against 30 million products, Qwen2.5-7B in bfloat16, 768 binary dimensions, 1,000 rescored:')
  const answers = seven.map(({ card, predicted }) => {
    const { pass, rescoring } = searchSeconds(card)
    const parts = [predicted.querySeconds, pass, rescoring]
    return [card.title, ...[...parts, sum(parts, (p) => p)].map((s) => `${number(1e3 * s, 1)} ms`)]
  })
  console.log(table(['card', 'encode', 'binary pass', 'rescoring', 'in all'], answers))
}

function main() {
  const options = parseOptions(
    process.argv.slice(2),
    OPTIONS,
    'Predicts the speed of encoders from the limits of cards.',
  )
  const sizes = {
    tokens: positive('tokens', options.tokens),
    length: positive('length', options.length),
    query: positive('query', options.query),
  }
  const results = listOf('cards', options.cards, Object.keys(CARDS)).flatMap((card) =>
    listOf('models', options.models, Object.keys(SHAPES)).map((model) => ({
      card: CARDS[card],
      shape: SHAPES[model],
      predicted: predict(CARDS[card], SHAPES[model], sizes),
    })),
  )
  if (options.json) console.log(JSON.stringify({ predicted: true, ...sizes, results }, null, 1))
  else print(results, { ...sizes, kernels: options.kernels })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    main()
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    console.error(`roofline: ${error.message}`)
    process.exit(2)
  }
}
