/**
 * `npm run bench:soak`: checks that memory stays flat. It makes calls of random lengths, batch sizes and options for
 * some minutes, several in parallel, some aborted. From time to time the model is replaced by a newly loaded copy, and
 * the old one is disposed or dropped without dispose. Memory is sampled between calls, after a garbage collection,
 * while no call runs. Exit codes: 0 flat; 1 growing, a call failed, or no load took memory; 2 wrong use or too short to
 * tell.
 */
import { existsSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { prepareModel } from './lib/models.mjs'
import { UsageError, parseOptions, positive } from './lib/options.mjs'
import { importPackage } from './lib/package.mjs'
import { random } from './lib/random.mjs'
import { randomCall } from './lib/soak-calls.mjs'
import { SoakModels } from './lib/soak-models.mjs'
import { verdict } from './lib/soak-verdict.mjs'
import { defaultModel } from './lib/specs.mjs'

const OPTIONS = {
  minutes: { type: 'string', value: 'N', default: '20', help: 'length of the run' },
  'model-path': {
    type: 'string',
    value: 'DIR',
    help: 'the model (default ../shared/models/all-MiniLM-L6-v2, else its shape is generated)',
  },
  threads: { type: 'string', value: 'N', help: 'worker threads (default as the package chooses)' },
  seed: { type: 'string', value: 'N', default: '1', help: 'of lengths, sizes and options' },
  json: { type: 'boolean', default: false, help: 'print one JSON object with all samples instead of lines' },
}

/** Calls run for this long between two samples. */
const SLICE_MS = 2000
const MOST_IN_PARALLEL = 4
/** Number of slices after which the model is replaced. */
const RELOAD_EVERY = 10
/** Time after a collection for finalisers and the threads that free weights. */
const SETTLE_MS = 20

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

/** Calls in 1 to MOST_IN_PARALLEL lanes until the time is up and all have ended. */
async function slice(model, next, counts) {
  const end = performance.now() + SLICE_MS
  const lanes = 1 + Math.floor(next() * MOST_IN_PARALLEL)
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      while (performance.now() < end) await call(model, next, counts)
    }),
  )
}

/** Threads of this process; null if the system does not report them. */
function countThreads() {
  try {
    return Number(/^Threads:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1])
  } catch {
    return null
  }
}

async function sample(start) {
  // Two turns: finalisers of the first collection's objects run before the second.
  for (let i = 0; i < 2; i++) {
    collect()
    await new Promise((done) => setImmediate(done))
  }
  await sleep(SETTLE_MS)
  const { rss, heapUsed, external } = process.memoryUsage()
  return { minutes: (performance.now() - start) / 60000, rss, heapUsed, external, threads: countThreads() }
}

/** Ends a handle: disposes it, or drops it for the garbage collector. */
async function end(handle, models, dispose, counts) {
  if (dispose) await handle.dispose()
  else models.drop(handle)
  counts[dispose ? 'disposed' : 'dropped']++
}

/**
 * Replaces the model by a newly loaded copy, and opens another handle on the old one. The four ways of ending the two
 * old handles, each disposed or dropped, come up in turn. Returns the new { model, directory }.
 */
async function reload(models, old, next, counts) {
  const { real, ...fresh } = await models.loadNew()
  if (real) counts.realLoads++
  const shared = await models.loadShared(old.directory)
  await Promise.all([fresh.model, shared, old.model].map((model) => call(model, next, counts)))
  const turn = counts.loads++
  counts.sharedHandles++
  await end(old.model, models, turn % 2 === 0, counts)
  await end(shared, models, turn % 4 < 2, counts)
  models.remove(old.directory)
  return fresh
}

const mb = (bytes) => (bytes / 1e6).toFixed(1)

function progress({ minutes, rss, external, threads }, counts, models) {
  return (
    `${Math.floor(minutes)} min: ${counts.calls} calls (${counts.aborted} aborted), ${counts.tokens} tokens, ` +
    `${counts.realLoads} of ${counts.loads} loads real, ${counts.disposed} disposed, ` +
    `${models.collected} of ${counts.dropped} dropped collected; ` +
    `rss ${mb(rss)} MB, external ${mb(external)} MB, ${threads ?? '?'} threads`
  )
}

function summaryLines({ flat, reason, floors, grown, tolerated, slopeMbPerHour }) {
  const state = flat === null ? 'cannot tell' : flat ? 'flat' : 'GROWING'
  const line = (name, unit, show) =>
    floors[name] &&
    `soak: lowest ${unit} of each third: ${floors[name].map(show).join(', ')}; ` +
      `from the first to the last ${show(grown[name])}, tolerated ${show(tolerated[name])}`
  return [
    line('rss', 'resident memory (MB)', mb),
    line('external', 'external memory (MB)', mb),
    line('threads', 'number of threads', String),
    slopeMbPerHour !== null && `soak: fitted line of resident memory: ${slopeMbPerHour.toFixed(0)} MB/h`,
    `soak: ${state}${reason ? `: ${reason}` : ''}`,
  ].filter(Boolean)
}

async function main() {
  const intro = 'node bench/soak.mjs [options]   random calls and reloads for minutes; does memory stay flat?'
  const options = parseOptions(process.argv.slice(2), OPTIONS, intro)
  const minutes = positive('minutes', options.minutes, { integer: false })
  const threads = options.threads === undefined ? {} : { threads: positive('threads', options.threads) }
  const seed = positive('seed', options.seed)
  if (options['model-path'] && !existsSync(join(options['model-path'], 'config.json')))
    throw new UsageError(`--model-path: no config.json in ${options['model-path']}`)
  const say = (line) => options.json || process.stdout.write(line + '\n')
  const embedCore = await importPackage()
  const source = options['model-path'] ?? prepareModel(defaultModel(), undefined, say).directory
  const next = random(seed)
  const models = new SoakModels(embedCore, source, threads)
  process.on('exit', () => models.close())
  const counts = { calls: 0, texts: 0, tokens: 0, aborted: 0, loads: 0, realLoads: 0 }
  Object.assign(counts, { sharedHandles: 0, disposed: 0, dropped: 0 })
  let current = await models.loadNew()
  const { threads: workers, isa } = current.model.info
  say(`soak: ${minutes} minutes on ${basename(source)}, ${workers} threads, ${isa}, seed ${seed}`)
  const start = performance.now()
  const samples = []
  for (let lastLine = 0; performance.now() - start < minutes * 60000;) {
    await slice(current.model, next, counts)
    if (samples.length % RELOAD_EVERY === RELOAD_EVERY - 1) current = await reload(models, current, next, counts)
    const now = { ...(await sample(start)), calls: counts.calls }
    samples.push(now)
    if (Math.floor(now.minutes) > lastLine) {
      lastLine = Math.floor(now.minutes)
      say(progress(now, counts, models))
    }
  }
  await current.model.dispose()
  const judged = verdict(samples)
  // A soak whose loads only give new handles on the same weights would not test loading.
  const unreal = counts.loads > 0 && counts.realLoads === 0
  const result = { minutes, seed, ...counts, collected: models.collected, ...judged }
  if (options.json) process.stdout.write(JSON.stringify({ ...result, samples }) + '\n')
  for (const line of summaryLines(judged)) say(line)
  if (unreal) say('soak: no load took memory: the reloads gave handles on weights that were already loaded')
  process.exitCode = unreal || judged.flat === false ? 1 : judged.flat === null ? 2 : 0
}

main().catch((error) => {
  process.stderr.write(`soak: ${error instanceof UsageError ? error.message : error.stack}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
})
