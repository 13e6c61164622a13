/**
 * `node bench/soak.mjs`: does memory stay flat? Minutes of calls of random lengths, batch sizes and options, several at
 * once, some called off, a model loaded and disposed of now and then; resident memory is sampled between them, after a
 * garbage collection with nothing under way. Exit codes: 0 flat, 1 growing or a call failed, 2 wrong use or too short
 * to tell.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { UsageError, parseOptions, positive } from './lib/options.mjs'
import { PACKAGE_ENTRY, SHARED } from './lib/paths.mjs'
import { random } from './lib/random.mjs'
import { randomCall } from './lib/soak-calls.mjs'
import { median, slope } from './lib/stats.mjs'

const OPTIONS = {
  minutes: { type: 'string', value: 'N', default: '10', help: 'how long' },
  'model-path': {
    type: 'string',
    value: 'DIR',
    default: join(SHARED, 'models', 'all-MiniLM-L6-v2'),
    help: 'the model',
  },
  threads: { type: 'string', value: 'N', help: 'default: as the package chooses' },
  seed: { type: 'string', value: 'N', default: '1', help: 'of lengths, sizes and options' },
  json: { type: 'boolean', default: false, help: 'print one JSON object with all samples instead of lines' },
}

/** Calls run for this long between two samples. */
const SLICE_MS = 2000
const MOST_AT_ONCE = 4
/** A second model is loaded, used and disposed of in every so many slices. */
const RELOAD_EVERY = 10
/** Fewer samples in a third do not show its floor. */
const LEAST_SAMPLES = 30
/**
 * So many calls must have come in the first third: the allocator's arenas, one a thread, still grow until then.
 * README.md has figures.
 */
const WARM_CALLS = 1000
/** Growth of the floor that the allocators' own habits explain: README.md says where it comes from. */
const tolerated = (rssBytes) => Math.max(4 * 2 ** 20, 0.02 * rssBytes)

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc')

async function call(model, next, counts) {
  const { texts, options, abortAfterMs } = randomCall(next)
  const abort = abortAfterMs === null ? null : new AbortController()
  const timer = abort && setTimeout(() => abort.abort(), abortAfterMs)
  try {
    const { data, shape, tokenCounts } = await model.encode(
      texts,
      abort ? { ...options, signal: abort.signal } : options,
    )
    if (
      tokenCounts.length !== texts.length ||
      ((options.precision ?? 'float32') === 'float32' && data.length !== shape[0] * shape[1])
    ) {
      throw new Error(
        `${texts.length} texts gave ${tokenCounts.length} counts and ${data.length} numbers of shape ${shape}`,
      )
    }
    if (data.some(Number.isNaN)) throw new Error('a vector holds NaN')
    counts.texts += texts.length
    counts.tokens += tokenCounts.reduce((a, b) => a + b, 0)
  } catch (error) {
    if (!abort?.signal.aborted || error.code !== 'ERR_EMBEDCORE_ABORTED') {
      throw new Error(`encode(${texts.length} texts, ${JSON.stringify(options)}) failed: ${error.message}`, {
        cause: error,
      })
    }
    counts.aborted++
  } finally {
    clearTimeout(timer)
    counts.calls++
  }
}

/** Calls in 1 to MOST_AT_ONCE lanes until the time is up and all have ended. */
async function slice(model, next, counts) {
  const end = performance.now() + SLICE_MS
  const lanes = 1 + Math.floor(next() * MOST_AT_ONCE)
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      while (performance.now() < end) await call(model, next, counts)
    }),
  )
}

async function sample(start) {
  // Two turns: finalisers of the first collection's objects run before the second.
  for (let i = 0; i < 2; i++) {
    collect()
    await new Promise((done) => setImmediate(done))
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  return { minutes: (performance.now() - start) / 60000, rss, heapUsed, external }
}

/**
 * Flat when the floor of the last third is not above that of the middle third. The floor and not a fitted line:
 * resident memory swings by some 30 MB as the allocator keeps and returns pages, and what was returned was no leak; a
 * leak lifts the floor.
 */
function verdict(samples, minutes) {
  const third = (k) => samples.filter((s) => s.minutes >= (minutes * k) / 3 && s.minutes < (minutes * (k + 1)) / 3)
  const [first, middle, last] = [third(0), third(1), third(2)]
  if (Math.min(middle.length, last.length) < LEAST_SAMPLES)
    return {
      flat: null,
      reason: `${Math.min(middle.length, last.length)} samples in a third do not show its floor (asked ${LEAST_SAMPLES}): run longer`,
    }
  const before = first.at(-1)?.calls ?? 0
  if (before < WARM_CALLS)
    return {
      flat: null,
      reason: `${before} calls in the first third do not warm up the allocator (asked ${WARM_CALLS}): run longer, or on a less busy machine`,
    }
  const floor = (list) => Math.min(...list.map((s) => s.rss))
  const grown = floor(last) - floor(middle)
  const most = tolerated(median(last.map((s) => s.rss)))
  const perMinute = slope(
    [...middle, ...last].map((s) => s.minutes),
    [...middle, ...last].map((s) => s.rss),
  )
  return {
    flat: grown <= most,
    floorsMb: [first, middle, last].map((list) => floor(list) / 1e6),
    grownMb: grown / 1e6,
    toleratedMb: most / 1e6,
    slopeMbPerHour: (perMinute * 60) / 1e6,
  }
}

const mb = (bytes) => (bytes / 1e6).toFixed(1)

async function main() {
  const options = parseOptions(
    process.argv.slice(2),
    OPTIONS,
    'node bench/soak.mjs [options]   random calls for minutes; does memory stay flat?',
  )
  const minutes = positive('minutes', options.minutes, { integer: false })
  const threads = options.threads === undefined ? {} : { threads: positive('threads', options.threads) }
  const directory = options['model-path']
  if (!existsSync(directory)) throw new UsageError(`--model-path: there is no ${directory}`)
  if (!existsSync(PACKAGE_ENTRY))
    throw new UsageError('the package is not built (dist/index.js is missing): run npm run build')
  const { embedCore } = await import(pathToFileURL(PACKAGE_ENTRY).href)
  const say = (line) => options.json || process.stdout.write(line + '\n')
  const next = random(positive('seed', options.seed))
  const model = await embedCore.load(directory, threads)
  const start = performance.now()
  const samples = []
  const counts = { calls: 0, texts: 0, tokens: 0, aborted: 0, reloads: 0 }
  say(
    `soak: ${minutes} minutes on ${model.info.name}, ${model.info.threads} threads, ${model.info.isa}, seed ${options.seed}`,
  )
  for (let lastLine = 0; performance.now() - start < minutes * 60000;) {
    await slice(model, next, counts)
    if (samples.length % RELOAD_EVERY === RELOAD_EVERY - 1) {
      const other = await embedCore.load(directory, threads)
      await call(other, next, counts)
      await other.dispose()
      counts.reloads++
    }
    const now = { ...(await sample(start)), calls: counts.calls }
    samples.push(now)
    if (Math.floor(now.minutes) > lastLine) {
      lastLine = Math.floor(now.minutes)
      say(
        `${lastLine} min: ${counts.calls} calls (${counts.aborted} called off), ${counts.reloads} reloads, ${counts.tokens} tokens; rss ${mb(now.rss)} MB, heap ${mb(now.heapUsed)}, external ${mb(now.external)}`,
      )
    }
  }
  await model.dispose()
  const judged = verdict(samples, minutes)
  if (options.json)
    process.stdout.write(JSON.stringify({ minutes, seed: Number(options.seed), ...counts, ...judged, samples }) + '\n')
  if (judged.flat === null) say(`soak: cannot tell: ${judged.reason}`)
  else {
    const { flat, floorsMb, slopeMbPerHour, grownMb, toleratedMb } = judged
    say(
      `soak: ${flat ? 'flat' : 'GROWING'}: lowest resident memory of each third ${floorsMb.map((floor) => floor.toFixed(1)).join(', ')} MB (${grownMb.toFixed(1)} MB from the second to the last, tolerated ${toleratedMb.toFixed(1)}; fitted line ${slopeMbPerHour.toFixed(0)} MB/h), ${counts.calls} calls, ${counts.tokens} tokens`,
    )
  }
  process.exitCode = judged.flat === null ? 2 : judged.flat ? 0 : 1
}

main().catch((error) => {
  process.stderr.write(`soak: ${error instanceof UsageError ? error.message : error.stack}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
})
