/**
 * A few steps of `embedCore.train()` in a fresh process, as a user runs it, so that its peak memory is that of training
 * alone. Argument: JSON of { directory, output, texts, first, warm, steps, row, dtype, dropout, gradientCache, threads };
 * `first` is the batch of the first step that counts. Prints one line of JSON and ends before the model is saved: what
 * is in `output` is of no use, and may still be written to as the process ends.
 */
import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { peakRss } from '../lib/memory.mjs'
import { importPackage } from '../lib/package.mjs'
import { LEARNING_RATE, LORA, MAX_GRAD_NORM, SCALE } from './cases.mjs'
import { watchPhases } from './phases.mjs'

/** The batches of all steps in order, as rows. */
function rowsOf({ texts, first, warm, steps }) {
  const batches = JSON.parse(readFileSync(texts, 'utf8'))
  const at = (i) => batches[(((first - warm + i) % batches.length) + batches.length) % batches.length]
  const rows = Array.from({ length: warm + steps }, (_, i) => at(i)).flatMap(({ pairs }) =>
    pairs.map(([anchor, positive]) => ({ anchor, positive })),
  )
  return { rows, batchSize: batches[0].pairs.length }
}

async function train(given) {
  const embedCore = await importPackage()
  const phases = watchPhases()
  const { method, recompute } = given.row
  const { rows, batchSize } = rowsOf(given)
  const run = embedCore.train({
    model: given.directory,
    data: rows,
    output: given.output,
    loss: { type: 'MultipleNegativesRankingLoss', scale: SCALE },
    method: method === 'lora' ? { type: 'lora', ...LORA, dropout: 0 } : method,
    sampler: 'sequential',
    batchSize,
    maxSteps: given.warm + given.steps,
    gradientCache: given.gradientCache,
    recompute,
    learningRate: LEARNING_RATE[method],
    schedule: 'constant',
    warmup: 0,
    weightDecay: 0,
    maxGradNorm: MAX_GRAD_NORM,
    dtype: given.dtype,
    dropout: given.dropout,
    threads: given.threads,
    saveSteps: 0,
    logs: false,
  })
  const delay = monitorEventLoopDelay({ resolution: 1 })
  const steps = []
  let before = null
  for await (const event of run) {
    if (event.type === 'begin' && given.warm === 0) delay.enable()
    if (event.type !== 'step') continue
    const { step, seconds, tokens, loss, gradientNorm } = event
    const taken = phases()
    if (step > given.warm) steps.push({ seconds: seconds - (before ?? 0), tokens, loss, gradientNorm, ...taken })
    before = seconds
    if (step === given.warm) delay.enable()
    if (step === given.warm + given.steps) break
  }
  delay.disable()
  return { steps, peakRssBytes: peakRss(), eventLoopDelayP99Ms: delay.count > 0 ? delay.percentile(99) / 1e6 : null }
}

try {
  const result = await train(JSON.parse(process.argv[2]))
  process.stdout.write(JSON.stringify(result) + '\n', () => process.exit(0))
} catch (error) {
  // One line, for the table of the parent.
  process.stderr.write(`${error.code ? `${error.code}: ` : ''}${error.message.replaceAll('\n', ' ')}\n`)
  process.exit(1)
}
