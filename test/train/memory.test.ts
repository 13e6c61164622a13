/** The estimate of a run's memory, and the layers that a limit makes it recompute. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { planTraining, train } from '../../src/index.js'
import { BatchLoader } from '../../src/train/data/loader.js'
import { bytesOf } from '../../src/train/memory.js'
import { optimizerOf } from '../../src/train/optimizer.js'
import { resolveTrainOptions } from '../../src/train/options.js'
import { prepare } from '../../src/train/prepare.js'
import { NO_VECTORS, stepInput, stepNeeds } from '../../src/train/step-input.js'
import { trainerOptions } from '../../src/train/train.js'
import { nativeTraining, Trainer } from '../../src/train/trainer.js'
import type { TrainOptions } from '../../src/train/types.js'
import { GOLDEN } from '../support/golden.js'

const root = mkdtempSync(path.join(tmpdir(), 'embedcore-memory-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const LAYERS = 2
const model = path.join(GOLDEN, 'stack/mean-normalize')
/** Texts of one length, so that the estimate has nothing to guess. */
const PAIRS = Array.from({ length: 64 }, () => ({ anchor: 'quick fox '.repeat(20), positive: 'lazy dog '.repeat(20) }))
const base = (): TrainOptions => ({
  model,
  data: PAIRS,
  output: path.join(root, 'run'),
  batchSize: 64,
  sampler: 'sequential',
  threads: 2,
})

test.each<[unknown, number | null]>([
  [1000, 1000],
  ['4GB', 4e9],
  ['1.5 GiB', 1.5 * 2 ** 30],
  ['512mib', 2 ** 29],
  ['100', 100],
  ['0GB', null],
  [0, null],
  [-1, null],
  [Infinity, null],
  ['4 gigs', null],
  ['GB', null],
  ['-4GB', null],
  [true, null],
])('%j is %j bytes', (value, bytes) => expect(bytesOf(value)).toBe(bytes))

describe('the estimate of a step', () => {
  test.each<[string, Partial<TrainOptions>]>([
    ['all kept', {}],
    ['all recomputed', { recompute: true }],
    ['gradient caching', { gradientCache: true }],
    ['gradient caching, recomputed', { gradientCache: true, recompute: true }],
    ['bfloat16', { dtype: 'bfloat16' }],
    ['LoRA with dropout', { method: { type: 'lora', rank: 16, dropout: 0.1, targets: 'all-linear' } }],
    ['frozen layers', { freeze: { embeddings: true, layers: 1 } }],
    ['a projection', { projection: 8 }],
  ])('is what the trainer takes: %s', async (_, options) => {
    const prepared = await prepare(resolveTrainOptions({ ...base(), ...options }), nativeTraining())
    const trainer = await Trainer.open(nativeTraining(), trainerOptions(prepared), null)
    const { tokenizer, maxTokens } = prepared
    const loader = new BatchLoader(prepared.data, prepared.sampler, { tokenizer, maxTokens })
    try {
      trainer.setOptimizer(optimizerOf(trainer, prepared.options))
      const batch = (await loader.next())!
      await trainer.accumulate(stepInput(batch, stepNeeds(prepared.losses, false, batch), NO_VECTORS, 0))
      const ratio = prepared.plan.memory.activations! / trainer.memory().activations
      // Blocks of a host are rounded up by an eighth and slabs end with whole texts: a slab is up to a text smaller.
      expect([ratio > 0.95, ratio < 1.15, ratio]).toEqual([true, true, ratio])
    } finally {
      await loader.close()
      await trainer.dispose()
      await prepared.data.close()
    }
  })
})

describe('a limit', () => {
  const planOf = async (options: Partial<TrainOptions>) => (await planTraining({ ...base(), ...options })).memory

  test('makes as few layers as it needs be recomputed', async () => {
    const all = await planOf({ recompute: true })
    const none = await planOf({})
    expect([all.recomputedLayers, none.recomputedLayers, none.trainedLayers]).toEqual([LAYERS, 0, LAYERS])
    const [most, least] = [none, all].map(({ weights, activations }) => weights + activations!)
    expect(least!).toBeLessThan(0.9 * most!)
    expect(await planOf({ memoryLimit: most! })).toEqual({ ...none, limit: most! })
    const seen = new Map<number, number>()
    for (let i = 1; i <= 20; i++) {
      const limit = Math.round(least! + (i / 20) * (most! - least!))
      const { recomputedLayers, weights, activations } = await planOf({ memoryLimit: limit })
      expect(weights + activations!).toBeLessThanOrEqual(limit)
      expect(recomputedLayers).toBeLessThanOrEqual(Math.min(...seen.values(), LAYERS))
      seen.set(i, recomputedLayers)
    }
    expect(new Set(seen.values())).toEqual(new Set([2, 1, 0]))
    expect(seen.get(20)).toBe(0)
  })

  test('that cannot be kept is refused with what is needed, before any work', async () => {
    const refused = async (options: Partial<TrainOptions>): Promise<string> => {
      const error: unknown = await train({ ...base(), ...options }).catch((caught: unknown) => caught)
      expect(error).toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_OPTION' })
      return (error as Error).message
    }
    const message = await refused({ memoryLimit: '1MB' })
    expect(message).toMatch(
      /^Expected at least [\d.]+ MB \(about [\d.]+ MB for weights and [\d.]+ MB for a step with 2/,
    )
    expect(message).toContain('for memoryLimit but received "1MB"')
    expect(message).toContain('gradientCache: true, a smaller batchSize or a smaller maxTokens needs less')
    // What it names is enough.
    const needed = `${/at least ([\d.]+) MB/.exec(message)![1]}MB`
    expect((await planOf({ memoryLimit: needed })).recomputedLayers).toBe(LAYERS)
    expect(await refused({ memoryLimit: needed, recompute: false })).toContain('recomputation, gradientCache: true')
    expect(existsSync(base().output)).toBe(false)
  })

  test('counts the longest texts where those come together, and what an iterable may have', async () => {
    const lengths = PAIRS.map(({ anchor, positive }, i) => ({
      anchor: anchor.slice(0, 10 + 3 * (i % 40)),
      positive: positive.slice(0, 10 + 3 * (i % 40)),
    }))
    const random = await planOf({ data: lengths })
    const alike = await planOf({ data: lengths, sampler: 'length-aware' })
    expect(alike.activations!).toBeGreaterThan(1.2 * random.activations!)
    const rows = async function* () {
      yield* lengths
    }
    const stream = { data: rows, maxSteps: 2, maxTokens: 20 }
    expect((await planOf(stream)).activations).toBeNull()
    expect((await planOf({ ...stream, memoryLimit: '4GB' })).activations!).toBeGreaterThan(0)
  })

  test('gives the bits of a run without one', async () => {
    const { weights, activations } = await planOf({ recompute: true })
    const runs = []
    for (const memoryLimit of [undefined, Math.round(1.1 * (weights + activations!))]) {
      const output = path.join(root, `bits-${memoryLimit}`)
      await train({ ...base(), output, maxSteps: 1, ...(memoryLimit === undefined ? {} : { memoryLimit }) })
      runs.push(readFileSync(path.join(output, 'model.safetensors')))
    }
    expect(runs[0]!.equals(runs[1]!)).toBe(true)
  })
})
