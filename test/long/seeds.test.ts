/**
 * Runs of many seeds and options: the same bits however a run is computed and wherever it is interrupted.
 * EMBEDCORE_SEEDS says how many (60).
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { train } from '../../src/index.js'
import type { TrainOptions } from '../../src/train/types.js'
import { finish, MODEL, numbers, PAIRS } from './runs.js'

const SEEDS = Number(process.env['EMBEDCORE_SEEDS'] ?? 60)
const SAMPLERS = ['random', 'sequential', 'no-duplicates', 'group-by-label', 'cross-language', 'length-aware'] as const
const root = mkdtempSync(path.join(tmpdir(), 'embedcore-seeds-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

type Drawn = Omit<TrainOptions, 'output'>

/** Options that decide the result. */
function drawn(seed: number): Drawn {
  const next = numbers(seed)
  const one = <T>(...of: readonly T[]): T => of[Math.floor(next() * of.length)]!
  const stream = next() < 0.2
  const data = stream
    ? async function* () {
        yield* PAIRS
      }
    : PAIRS
  return {
    model: MODEL,
    data,
    seed,
    batchSize: one(4, 8, 12),
    maxSteps: 14,
    sampler: stream ? one('random', 'sequential', 'no-duplicates') : one(...SAMPLERS),
    ...(stream ? { shuffleBuffer: one(5, 16, 100) } : {}),
    gradientAccumulation: one(1, 1, 2, 3),
    dropout: next() < 0.8,
    learningRate: 2e-3,
    dtype: one('float32', 'float32', 'bfloat16'),
    ...(next() < 0.4 ? { averageDecay: 0.9 } : {}),
    ...(next() < 0.3 ? { method: { type: 'lora' as const, rank: 4, dropout: 0.1 }, merge: true } : {}),
    ...(next() < 0.3 ? { projection: 8 } : {}),
    loss: one<TrainOptions['loss']>(
      'MultipleNegativesRankingLoss',
      { type: 'MultipleNegativesRankingLoss', learnedScale: true, directions: ['query_to_doc', 'doc_to_query'] },
      ['MultipleNegativesRankingLoss', { type: 'BatchHardTripletLoss', weight: 0.2 }],
      { type: 'MultipleNegativesRankingLoss', matryoshka: { dims: [8, 4], nDimsPerStep: 1 } },
    ),
  }
}

/** Options that only decide how it is computed. */
function ways(seed: number): Partial<TrainOptions> {
  const next = numbers(1000 + seed)
  return {
    threads: 1 + Math.floor(next() * 3),
    gradientCache: next() < 0.4,
    ...(next() < 0.5 ? { recompute: next() < 0.5 } : {}),
    saveSteps: Math.floor(next() * 4),
  }
}

test.each(Array.from({ length: SEEDS }, (_, seed) => seed))('seed %i', async (seed) => {
  const output = path.join(root, `seed-${seed}`)
  const options = drawn(seed)
  const whole = await finish({ ...options, ...ways(seed), output: `${output}-whole` })
  const at = 1 + Math.floor(numbers(2000 + seed)() * 12)
  const run = train({ ...options, ...ways(seed + 1), output })
  const stopped = await (async () => {
    for await (const event of run) if (event.type === 'step' && event.step === at) run.abort()
  })().then(
    () => null,
    (error: unknown) => error,
  )
  // A run that was ahead of its reader may be at its end.
  if (stopped !== null) expect(stopped).toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
  const rest = await finish({ ...options, ...ways(seed + 2), output, resume: true })
  for (const [step, loss] of rest.losses) expect([step, loss]).toEqual([step, whole.losses.get(step)])
  expect(rest.weights.equals(whole.weights)).toBe(true)
  const other = await finish({ ...options, seed: seed + 7919, output: `${output}-other` })
  // Another seed is another order of rows, other masks of dropout, or other first values.
  if (options.dropout === true || options.sampler !== 'sequential')
    expect(other.weights.equals(whole.weights)).toBe(false)
  for (const folder of [output, `${output}-whole`, `${output}-other`]) rmSync(folder, { recursive: true })
})
