/**
 * Random calls of encode() for soak.mjs: lengths from 0 to far beyond the limit, batches from one to hundreds, all
 * options.
 */

const WORDS =
  "a the of blue water charger 苹果 手机 niño café übergroß 🚀 256GB wireless unbelievably don't x-1 \ud800 , . %".split(
    ' ',
  )
/** Words of a call in all: keeps the slowest call within seconds. */
const MOST_WORDS = 3000
const MOST_TEXTS = 300
const LONGEST = 3000
/**
 * Ranges for int8 and uint8 come from the call's own vectors. The package warns if there are fewer than this, and
 * refuses a single one.
 */
const TEXTS_FOR_RANGES = 100

const pick = (next, values) => values[Math.floor(next() * values.length)]
/** Log-uniform from 1 to most: values between 1 and 10 are as frequent as those between 10 and 100. */
const size = (next, most) => Math.floor(Math.exp(next() * Math.log(most + 1)))

/** One option in a few calls, so that combinations of all sizes come up. */
const CHOICES = [
  (next) => ({
    pooling: pick(next, ['cls', 'mean', 'max', 'mean_sqrt_len', 'weightedmean', 'lasttoken', ['mean', 'max']]),
  }),
  (next) => ({ layers: pick(next, [-1, 1, [1, 3], 'first-last', 'last:2', '2-4']) }),
  (next) => ({ layers: [2, -1], layerFusion: pick(next, ['mean', 'concat']) }),
  (next) => ({ attention: pick(next, ['causal', 'bidirectional', 'prefix']) }),
  (next) => ({ normalize: pick(next, [true, false]) }),
  (next) => ({ dimensions: pick(next, [8, 64, 256]) }),
  (next) => ({ prompt: pick(next, ['', 'query: ', 'Represent this sentence for searching relevant passages: ']) }),
  (next) => ({ maxTokens: pick(next, [8, 100, 256]), truncate: pick(next, ['left', 'right']) }),
]
/** The kind of output: one of these in each call. */
const OUTPUTS = [
  {},
  {},
  {},
  {},
  { output: 'token' },
  { precision: 'int8' },
  { precision: 'uint8' },
  { precision: 'binary' },
  { precision: 'ubinary' },
]

/** next: seeded numbers in [0, 1). Returns { texts, options, abortAfterMs }; abortAfterMs is null in most calls. */
export function randomCall(next) {
  const texts = []
  const count = size(next, MOST_TEXTS)
  for (let words = 0; texts.length < count && words < MOST_WORDS;) {
    const length = next() < 0.02 ? 0 : size(next, pick(next, [12, 60, 250, LONGEST]))
    texts.push(Array.from({ length }, () => pick(next, WORDS)).join(' '))
    words += length
  }
  const options = Object.assign(
    {},
    ...CHOICES.filter(() => next() < 0.15).map((choice) => choice(next)),
    pick(next, OUTPUTS),
  )
  if (options.output === 'token') delete options.pooling // refused together: tokens are not pooled
  if (/^u?int8$/.test(options.precision) && texts.length < TEXTS_FOR_RANGES) options.precision = 'binary'
  return { texts, options, abortAfterMs: next() < 0.05 ? next() * 200 : null }
}
