/** Training saved adapters further: those of PEFT (test/golden/make_adapters.py) and our own. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { load, planTraining, train } from '../../src/index.js'
import type { StepEvent, TrainOptions } from '../../src/train/types.js'
import { deviation, GOLDEN, readJson, Tensors, tolerance } from '../support/golden.js'

const MODEL = path.join(GOLDEN, 'stack/mean-normalize')
const ADAPTER = path.join(GOLDEN, 'adapters/bert-query-value')
const { rows } = readJson<{ rows: [string, string, number][] }>(path.join(GOLDEN, 'training/golden.json'))
const pairs = rows.map(([anchor, positive]) => ({ anchor, positive }))
const TEXTS = ['quick brown fox', 'lazy dog', 'the captain of the harbour']

const root = mkdtempSync(path.join(tmpdir(), 'embedcore-further-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
let number = 0
let output = ''
beforeEach(() => {
  output = path.join(root, `run-${number++}`)
})

const base = (): TrainOptions => ({
  model: MODEL,
  data: pairs,
  output,
  batchSize: 8,
  learningRate: 2e-3,
  sampler: 'sequential',
  dropout: false,
  logs: false,
})

async function runOf(options: Partial<TrainOptions>): Promise<{ losses: number[]; norms: number[] }> {
  const steps: StepEvent[] = []
  for await (const event of train({ ...base(), ...options })) if (event.type === 'step') steps.push(event)
  return { losses: steps.map(({ loss }) => loss), norms: steps.map(({ gradientNorm }) => gradientNorm) }
}

async function vectorsOf(directory: string, adapter?: string, texts = TEXTS): Promise<Float32Array> {
  await using model = await load(directory, adapter === undefined ? {} : { adapter })
  return (await model.encode(texts)).data
}

const weights = (directory: string): Buffer => readFileSync(path.join(directory, 'adapter_model.safetensors'))
const config = (directory: string): Record<string, unknown> =>
  readJson<Record<string, unknown>>(path.join(directory, 'adapter_config.json'))

test('ten steps from an adapter of PEFT are those of PEFT', async () => {
  const { texts, further } = readJson<{
    texts: string[]
    further: { losses: number[]; norms: number[]; vectors: number[][] }
  }>(path.join(ADAPTER, 'golden.json'))
  const { losses, norms } = await runOf({ method: { type: 'lora', from: ADAPTER } })
  // As in golden-run.test.ts: float32 with other orders of sums.
  const far = (a: number[], b: number[]): number =>
    Math.max(...a.map((value, i) => Math.abs(value - b[i]!) / Math.abs(b[i]!)))
  expect(losses).toHaveLength(further.losses.length)
  expect(far(losses, further.losses)).toBeLessThan(4e-6)
  expect(far(norms, further.norms)).toBeLessThan(2e-5)
  // Ten updates of AdamW carry the differences of gradients into the weights, where a rate of 2e-3 is small.
  const vectors = await vectorsOf(MODEL, output, texts)
  expect(deviation(vectors, Float32Array.from(further.vectors.flat()), 16).difference).toBeLessThan(1e-4)
  expect(config(output)).toMatchObject({ r: 4, lora_alpha: 8, base_model_name_or_path: MODEL })
  expect(new Tensors(path.join(output, 'adapter_model.safetensors')).names.sort()).toEqual(
    new Tensors(path.join(ADAPTER, 'adapter_model.safetensors')).names.sort(),
  )
})

test('patterns of ranks and alphas go on, and an update that is not read does not come back', async () => {
  const from = path.join(GOLDEN, 'adapters/bert-patterns')
  await runOf({ method: { type: 'lora', from }, maxSteps: 1 })
  expect(config(output)).toMatchObject({
    r: 4,
    rank_pattern: config(from)['rank_pattern'],
    alpha_pattern: config(from)['alpha_pattern'],
    use_rslora: true,
  })
  const targets = config(output)['target_modules'] as string[]
  expect(targets).toHaveLength(12)
  expect(targets.some((name) => name.includes('pooler'))).toBe(false)
  await vectorsOf(MODEL, output) // Ranks and shapes fit.
})

describe('our own adapter', () => {
  const own = path.join(root, 'own')
  const method = { type: 'lora' as const, rank: 4, alpha: 8, targets: 'all-linear', dropout: 0.1 }

  test('is a model: load gives the vectors that the merged one has', async () => {
    await runOf({ method, output: own, projection: 8 })
    await runOf({ method, projection: 8, merge: true })
    const [adapter, merged] = [await vectorsOf(own), await vectorsOf(output)]
    expect(deviation(adapter, merged, 8).difference).toBeLessThan(tolerance(2).difference)
    await using model = await load(own)
    expect(model.info).toMatchObject({ adapter: own, dimension: 8 })
    // Beside the base alone, its projection would be missing.
    await using plain = await load(MODEL)
    await expect(plain.loadAdapter(own)).rejects.toThrow(/modules of the model .* but found dense/)
  })

  test('is trained further by its directory, projection included', async () => {
    await runOf({ method, output: own, overwrite: true, projection: 8 })
    // Nothing moves: what is saved is what was read.
    await runOf({ model: own, learningRate: 1e-30, maxSteps: 2 })
    expect(weights(output).equals(weights(own))).toBe(true)
    expect(config(output)).toMatchObject({ base_model_name_or_path: MODEL, lora_dropout: 0.1 })
    output += '-more'
    const plan = await planTraining({ ...base(), model: own, learningRate: undefined })
    expect(plan.method).toBe('LoRA of 12 matrices, rank 4, alpha 8, trained further')
    expect(plan.learningRate).toBe(2e-4)
    const { losses } = await runOf({ model: own, maxSteps: 20, learningRate: 5e-3 })
    expect(losses.at(-1)!).toBeLessThan(losses[0]!)
    expect(weights(output).equals(weights(own))).toBe(false)
    const moved = deviation(await vectorsOf(output), await vectorsOf(own), 8)
    expect(moved.difference).toBeGreaterThan(1e-3)
  })

  test('its directory as the model and from beside the base are the same run', async () => {
    await runOf({ method, output: own, overwrite: true })
    const one = await runOf({ model: own, maxSteps: 4 })
    const first = output
    output += '-from'
    const other = await runOf({ method: { type: 'lora', from: own }, maxSteps: 4 })
    expect(other).toEqual(one)
    expect(weights(output).equals(weights(first))).toBe(true)
    // An interrupted run goes on with the same bits.
    output += '-parts'
    const run = train({ ...base(), model: own, maxSteps: 4, saveSteps: 1 })
    const stopped = await (async () => {
      for await (const event of run) if (event.type === 'step' && event.step === 2) run.abort()
    })().catch((error: unknown) => error)
    expect(stopped).toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
    await runOf({ model: own, maxSteps: 4, saveSteps: 1, resume: true })
    expect(weights(output).equals(weights(first))).toBe(true)
  })
})

describe('refused', () => {
  const invalid = { code: 'ERR_EMBEDCORE_INVALID_OPTION' }
  const copy = path.join(root, 'copy')
  cpSync(MODEL, copy, { recursive: true })
  for (const name of ['adapter_config.json', 'adapter_model.safetensors'])
    cpSync(path.join(ADAPTER, name), path.join(copy, name))
  const settings = { ...config(ADAPTER), base_model_name_or_path: MODEL }
  writeFileSync(path.join(copy, 'adapter_config.json'), JSON.stringify(settings))

  test.each<[string, Partial<TrainOptions>, RegExp]>([
    ['a rank beside from', { method: { type: 'lora', from: ADAPTER, rank: 4 } }, /beside from, .* for rank/],
    ['targets beside from', { method: { type: 'lora', from: ADAPTER, targets: 'x' } }, /beside from, .* for targets/],
    ['full training of an adapter', { model: copy, method: 'full' }, /'lora' for a model with an adapter/],
    [
      'two adapters',
      { model: copy, method: { type: 'lora', from: ADAPTER } },
      /nothing beside a model with an adapter/,
    ],
    ['no merging without LoRA', { merge: true }, /nothing beside a method other than 'lora'/],
  ])('%s', async (_, options, message) => {
    await expect(train({ ...base(), ...options })).rejects.toMatchObject(invalid)
    await expect(train({ ...base(), ...options })).rejects.toThrow(message)
  })

  test('an adapter of another model, and a directory without one', async () => {
    const from = path.join(GOLDEN, 'adapters/decoder-all')
    await expect(train({ ...base(), method: { type: 'lora', from } })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_MISSING_TENSOR',
    })
    const empty = path.join(root, 'empty')
    mkdirSync(empty)
    await expect(train({ ...base(), method: { type: 'lora', from: empty } })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_NOT_FOUND',
    })
  })

  test('a model with an adapter of PEFT is trained further with another dropout', async () => {
    await runOf({ model: copy, method: { type: 'lora', dropout: 0.2 }, dropout: true, maxSteps: 2 })
    expect(config(output)['lora_dropout']).toBe(0.2)
  })
})
