/** Training of static models: what is folded into the table, what is saved, and what is refused. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { evaluate, load, planTraining, train } from '../../src/index.js'
import type { StepEvent, TrainOptions } from '../../src/train/types.js'
import { numbers, writeSafetensors } from '../support/adapter-files.js'
import { GOLDEN, Tensors } from '../support/golden.js'

const STACK = path.join(GOLDEN, 'stack')
const MODEL = path.join(STACK, 'static')
const VOCABULARY = 139
const WIDTH = 16
const TEXTS = ['quick brown fox', 'the captain of the harbour', '   ']
const WORDS = ['quick', 'brown', 'fox', 'lazy', 'dog', 'captain', 'harbour', 'phone']
const word = (i: number): string => WORDS[i % 8]!
const PAIRS = Array.from({ length: 48 }, (_, i) => ({
  anchor: `${word(i)} ${word(i * 3 + (i >> 3))} ${word(i * 5 + 2)}`,
  positive: `${word(i * 3 + (i >> 3))} ${word(i)} the ${word(i * 7 + 1)}`,
}))

const root = mkdtempSync(path.join(tmpdir(), 'embedcore-static-run-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
let number = 0
let output = ''
const another = (): string => (output = path.join(root, `run-${number++}`))
beforeEach(another)

const base = (): TrainOptions => ({ model: MODEL, data: PAIRS, output, batchSize: 8, sampler: 'random', threads: 2 })

async function runOf(options: Partial<TrainOptions> = {}) {
  const losses: number[] = []
  const run = train({ ...base(), ...options })
  for await (const event of run) if (event.type === 'step') losses.push((event as StepEvent).loss)
  return { losses, result: await run }
}

const tableIn = (directory: string): Float32Array =>
  new Tensors(path.join(directory, '0_StaticEmbedding', 'model.safetensors')).any('embedding.weight')
    .data as Float32Array

async function vectorsOf(directory: string): Promise<number[][]> {
  await using model = await load(directory)
  return [...(await model.encode(TEXTS))].map((row) => [...row])
}

const distance = (a: number[][], b: number[][]): number =>
  Math.max(...a.flatMap((row, i) => row.map((value, d) => Math.abs(value - b[i]![d]!))))

/** A directory of model2vec whose tokens share rows. */
function sharedRows(directory: string, int8: boolean): string {
  mkdirSync(directory)
  cpSync(path.join(STACK, 'static-model2vec-bare/tokenizer.json'), path.join(directory, 'tokenizer.json'))
  writeFileSync(path.join(directory, 'config.json'), JSON.stringify({ model_type: 'model2vec', normalize: true }))
  const rows = numbers(7 * WIDTH, 3, 1)
  writeSafetensors(path.join(directory, 'model.safetensors'), {
    embeddings: { shape: [7, WIDTH], data: int8 ? Int8Array.from(rows, (value) => Math.round(127 * value)) : rows },
    mapping: {
      shape: [VOCABULARY],
      data: BigInt64Array.from({ length: VOCABULARY }, (_, id) => BigInt((id * 3) % 7)),
    },
    weights: { shape: [VOCABULARY], data: Float32Array.from({ length: VOCABULARY }, (_, id) => 1 / (1 + id)) },
  })
  return directory
}

describe('a run', () => {
  test('learns at the default rate, and saves a StaticEmbedding', async () => {
    const before = new Tensors(path.join(MODEL, 'model.safetensors')).any('embedding.weight').data
    const { losses, result } = await runOf({ epochs: 10 })
    const mean = (some: readonly number[]): number => some.reduce((sum, loss) => sum + loss, 0) / some.length
    expect(mean(losses.slice(-6))).toBeLessThan(0.7 * mean(losses.slice(0, 6)))
    expect(result.steps).toBe(60)
    expect(
      readdirSync(output)
        .filter((name) => !/^checkpoint|^log|^report/.test(name))
        .sort(),
    ).toEqual(['0_StaticEmbedding', 'README.md', 'config_sentence_transformers.json', 'modules.json'])
    expect(readdirSync(path.join(output, '0_StaticEmbedding')).sort()).toEqual(['model.safetensors', 'tokenizer.json'])
    expect(JSON.parse(readFileSync(path.join(output, 'modules.json'), 'utf8'))).toEqual([
      { idx: 0, name: '0', path: '0_StaticEmbedding', type: 'sentence_transformers.models.StaticEmbedding' },
    ])
    const after = tableIn(output)
    const moved = new Set([...after.keys()].filter((i) => after[i] !== before[i]).map((i) => Math.floor(i / WIDTH)))
    // The eight words and "the": no other row has a gradient, and without decay AdamW leaves those as they are.
    expect(moved.size).toBe(9)
    await using model = await load(output)
    expect(model.info).toMatchObject({ kind: 'static', dimension: WIDTH, similarity: 'dot' })
  })

  test('has the same bits for any number of threads, and with gradient caching', async () => {
    const one = await runOf({ threads: 1 })
    const table = tableIn(output)
    for (const options of [{ threads: 3 }, { gradientCache: true }]) {
      another()
      expect((await runOf(options)).losses).toEqual(one.losses)
      expect(tableIn(output)).toEqual(table)
    }
  })

  test('goes on with the bits of a run that was not stopped', async () => {
    const options = { epochs: 3, saveSteps: 2, averageDecay: 0.9 }
    const whole = await runOf(options)
    const table = tableIn(output)
    another()
    const run = train({ ...base(), ...options })
    const stopped = await (async () => {
      for await (const event of run) if (event.type === 'step' && event.step === 5) run.abort()
    })().catch((error: unknown) => error)
    expect(stopped).toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
    const rest = await runOf({ ...options, resume: true, threads: 1 })
    expect(rest.losses).toEqual(whole.losses.slice(-rest.losses.length))
    expect(tableIn(output)).toEqual(table)
  })

  test('takes a loaded model, modules after the table, and a projection', async () => {
    await using model = await load(path.join(STACK, 'static-model2vec-f16'))
    const plan = await planTraining({ ...base(), model, projection: 8 })
    expect(plan.trainedParameters).toBe(VOCABULARY * WIDTH + WIDTH * 8 + 8)
    await runOf({ model, projection: 8, matryoshka: [8, 4] })
    expect(readdirSync(output)).toEqual(expect.arrayContaining(['0_StaticEmbedding', '1_Dense', '2_Normalize']))
    await using trained = await load(output)
    expect(trained.info).toMatchObject({ kind: 'static', dimension: 8, normalize: true })
  })

  test('judges texts without tokens as the saved model does', async () => {
    // More of them than are encoded at once: whole calls without a token.
    const blanks = Array.from({ length: 70 }, (_, i) => ({
      sentence1: word(i),
      sentence2: ' '.repeat(i + 1),
      score: 1,
    }))
    const data = [
      ...blanks,
      ...PAIRS.slice(0, 5).map(({ anchor, positive }, i) => ({
        sentence1: anchor,
        sentence2: positive,
        score: i + 2,
      })),
    ]
    const evaluator = { task: 'sts' as const, data, name: 'dev' }
    const { result } = await runOf({ evaluator })
    await using model = await load(output)
    const { metrics } = await evaluate(model, evaluator)
    expect(result.metrics!['dev_pearson_dot']).toBeCloseTo(metrics['dev_pearson_dot']!, 5)
  })
})

describe('what rows are multiplied by is folded into the table', () => {
  test.each([
    ['int8 rows and scales', () => path.join(STACK, 'static-int8')],
    ['float16 rows', () => path.join(STACK, 'static-model2vec-f16')],
    ['a mapping and weights', () => sharedRows(path.join(root, 'shared'), false)],
  ])('%s', async (_, directory) => {
    const model = directory()
    // So small a rate leaves every number as it is.
    await runOf({ model, learningRate: 1e-30 })
    expect(tableIn(output)).toHaveLength(VOCABULARY * WIDTH)
    // The factors are multiplied in another order: one rounding of float32.
    expect(distance(await vectorsOf(output), await vectorsOf(model))).toBeLessThan(5e-7)
  })

  test('int8 rows without scales have no size', async () => {
    const model = sharedRows(path.join(root, 'no-scales'), true)
    await expect(runOf({ model })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
      message: expect.stringContaining('"scales" beside the int8 rows') as string,
    })
  })
})

describe('what does not apply to a static model is refused by name', () => {
  test.each<[string, Partial<TrainOptions>]>([
    ['method', { method: 'lora' }],
    ['method', { method: 'bitfit' }],
    ['merge', { merge: true }],
    ['freeze', { freeze: { embeddings: true } }],
    ['freeze', { freeze: { layers: 1 } }],
    ['pooling', { pooling: 'cls' }],
    ['attention', { attention: 'bidirectional' }],
    ['recompute', { recompute: true }],
    ['dropout', { dropout: true }],
    ['dtype', { dtype: 'bfloat16' }],
  ])('%s %o', async (name, options) => {
    await expect(planTraining({ ...base(), ...options })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_OPTION',
      message: expect.stringMatching(new RegExp(`for ${name} but received`)) as string,
    })
  })

  test('single texts', async () => {
    await expect(planTraining({ ...base(), data: PAIRS.map(({ anchor }) => ({ sentence: anchor })) })).rejects.toThrow(
      'Expected pairs or triplets for the loss MultipleNegativesRankingLoss of a static model',
    )
  })

  test('something else than a model', () => {
    const model = { info: { path: MODEL } } as unknown as string
    return expect(train({ ...base(), model })).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_OPTION' })
  })
})

const python = process.env['EMBEDCORE_TEST_PYTHON'] ?? 'python3'
const hasPython = (() => {
  try {
    execFileSync(python, ['-c', 'import sentence_transformers'], { stdio: 'ignore', timeout: 300_000 })
    return true
  } catch {
    return false
  }
})()

test.skipIf(!hasPython)(
  'sentence-transformers opens a saved model (EMBEDCORE_TEST_PYTHON names a Python that has it)',
  { timeout: 300_000 },
  async () => {
    await runOf({ projection: 8 })
    const script = path.join(import.meta.dirname, 'open_in_python.py')
    const printed = execFileSync(python, [script, 'st', output, ...TEXTS], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    // Two float32 implementations: a mean of a few rows and one matrix product.
    expect(distance(JSON.parse(printed) as number[][], await vectorsOf(output))).toBeLessThan(2e-6)
  },
)
