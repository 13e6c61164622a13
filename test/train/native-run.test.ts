/** Runs of the addon's trainer on a small model: it learns, resumes with the same bits, and saves what loads. */
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { load, planTraining, train } from '../../src/index.js'
import type { StepEvent, TrainingEvent, TrainOptions } from '../../src/train/types.js'
import { GOLDEN, Tensors } from '../support/golden.js'
import { CLOSE, hasPython, openInPython } from './in-python.js'

const STACK = path.join(GOLDEN, 'stack')
const MODEL = path.join(STACK, 'mean-normalize')
const TEXTS = ['quick brown fox', 'lazy dog', 'the captain of the harbour']
const WORDS = ['quick', 'brown', 'fox', 'lazy', 'dog', 'captain', 'harbour', 'phone']
const word = (i: number): string => WORDS[i % 8]!
/** Eight words, of which the positive repeats two: there is something to learn. */
const PAIRS = Array.from({ length: 48 }, (_, i) => ({
  anchor: `${word(i)} ${word(i * 3 + (i >> 3))} ${word(i * 5 + 2)}`,
  positive: `${word(i * 3 + (i >> 3))} ${word(i)} the ${word(i * 7 + 1)}`,
}))

const root = mkdtempSync(path.join(tmpdir(), 'embedcore-native-run-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
let number = 0
let output = ''
beforeEach(() => {
  output = path.join(root, `run-${number++}`)
})

const base = (): TrainOptions => ({
  model: MODEL,
  data: PAIRS,
  output,
  batchSize: 8,
  epochs: 2,
  learningRate: 2e-3,
  sampler: 'random',
  threads: 2,
})

async function runOf(options: Partial<TrainOptions> = {}) {
  const events: TrainingEvent[] = []
  const run = train({ ...base(), ...options })
  for await (const event of run) events.push(event)
  const steps = events.filter((event): event is StepEvent => event.type === 'step')
  return { result: await run, events, steps, losses: steps.map(({ loss }) => loss) }
}

const weightsIn = (directory: string): Buffer => readFileSync(path.join(directory, 'model.safetensors'))

async function vectorsOf(directory: string, texts = TEXTS): Promise<number[][]> {
  await using model = await load(directory)
  return [...(await model.encode(texts))].map((row) => [...row])
}

/** Largest difference of two lists of vectors. */
const distance = (a: number[][], b: number[][]): number =>
  Math.max(...a.flatMap((row, i) => row.map((value, d) => Math.abs(value - b[i]![d]!))))

describe('a run', () => {
  test('learns, and the saved model is the trained one', async () => {
    const before = await vectorsOf(MODEL)
    const { steps, losses, result } = await runOf({ epochs: 20, learningRate: 5e-3 })
    const mean = (some: readonly number[]): number => some.reduce((sum, loss) => sum + loss, 0) / some.length
    expect(steps).toHaveLength(120)
    expect(mean(losses.slice(-6))).toBeLessThan(0.7 * mean(losses.slice(0, 6)))
    for (const { gradientNorm, tokens, tokensPerSecond } of steps) {
      expect(gradientNorm).toBeGreaterThan(0)
      expect(Number.isFinite(tokens * tokensPerSecond)).toBe(true)
    }
    expect(result.output).toBe(output)
    expect(distance(await vectorsOf(output), before)).toBeGreaterThan(0.01)
    expect(readdirSync(output).sort()).toEqual(
      expect.arrayContaining([
        '1_Pooling',
        '2_Normalize',
        'README.md',
        'config.json',
        'modules.json',
        'tokenizer.json',
      ]),
    )
    const card = readFileSync(path.join(output, 'README.md'), 'utf8')
    expect(card).toMatch(/^---\nlibrary_name: sentence-transformers\n/)
    expect(card).toContain('- loss:MultipleNegativesRankingLoss')
    expect(card).toContain('- dataset_size:48')
  })

  test('has the same bits for any number of threads, with and without gradient caching', async () => {
    const one = await runOf({ threads: 1 })
    const weights = weightsIn(output)
    for (const options of [{ threads: 3 }, { threads: 2, gradientCache: true }, { recompute: true }]) {
      output = path.join(root, `run-${number++}`)
      const other = await runOf(options)
      expect(other.losses).toEqual(one.losses)
      expect(weightsIn(output).equals(weights)).toBe(true)
    }
  })

  test('in slots has the same bits however it is computed, and those of no slots with one', async () => {
    const options: Partial<TrainOptions> = { gradientAccumulation: 2, gradientSlots: 3, saveSteps: 1 }
    const plain = await runOf({ ...options, gradientSlots: undefined })
    const plainWeights = weightsIn(output)
    const runIn = async (more: Partial<TrainOptions>) => {
      output = path.join(root, `run-${number++}`)
      const run = await runOf({ ...options, ...more })
      return { ...run, weights: weightsIn(output) }
    }
    const one = await runIn({ gradientSlots: 1 })
    expect(one.losses).toEqual(plain.losses)
    expect(one.weights.equals(plainWeights)).toBe(true)
    const three = await runIn({ threads: 1 })
    expect(three.weights.equals(plainWeights)).toBe(false)
    // The same sums in another order: losses of the first step differ by roundings, and those after by what AdamW,
    // which divides by lengths, makes of them.
    three.losses.forEach((loss, step) => expect(loss).toBeCloseTo(plain.losses[step]!, 3))
    for (const more of [{ threads: 3, gradientCache: true }, { recompute: true }]) {
      const other = await runIn(more)
      expect(other.losses).toEqual(three.losses)
      expect(other.weights.equals(three.weights)).toBe(true)
    }
    rmSync(path.join(output, 'modules.json'))
    const error: unknown = await train({ ...base(), ...options, gradientSlots: 2, resume: true }).catch(
      (e: unknown) => e,
    )
    expect(error).toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_OPTION' })
    expect((error as Error).message).toContain('gradientSlots is "2" and was "3"')
  })

  test('another seed gives another run', async () => {
    const { losses } = await runOf({ maxSteps: 2, epochs: undefined })
    output += '-other'
    expect((await runOf({ maxSteps: 2, epochs: undefined, seed: 7 })).losses).not.toEqual(losses)
  })

  test('leaves the event loop free', async () => {
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    await runOf({ epochs: 4, batchSize: 24 })
    clearInterval(timer)
    delay.disable()
    // Other turns happen all along; how long they wait is measured where the machine is quiet (npm run bench:train).
    expect(turns).toBeGreaterThan(4)
  })

  test('trains in bfloat16', async () => {
    const { losses } = await runOf({ dtype: 'bfloat16', epochs: 4 })
    expect(losses.at(-1)!).toBeLessThan(losses[0]!)
    expect(losses.every(Number.isFinite)).toBe(true)
  })
})

describe('resumption', () => {
  test.each(['accumulated', 'with an average', 'lora'])(
    'gives the bits of a run that was not stopped: %s',
    async (how) => {
      const options: Partial<TrainOptions> = {
        epochs: 3,
        saveSteps: 2,
        ...(how === 'accumulated' ? { gradientAccumulation: 2 } : {}),
        ...(how === 'with an average' ? { averageDecay: 0.9 } : {}),
        ...(how === 'lora' ? { method: { type: 'lora' as const, dropout: 0.1 }, merge: true } : {}),
      }
      const whole = await runOf(options)
      const weights = weightsIn(output)
      output += '-parts'
      const losses: number[] = []
      const run = train({ ...base(), ...options })
      const stopped = await (async () => {
        for await (const event of run) {
          if (event.type !== 'step') continue
          losses.push(event.loss)
          if (event.step === 5) run.abort()
        }
      })().catch((error: unknown) => error)
      expect(stopped).toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
      expect(existsSync(path.join(output, 'modules.json'))).toBe(false)
      const rest = await runOf({ ...options, resume: true, threads: 1 })
      const first = rest.steps[0]!.step
      expect([...losses.slice(0, first - 1), ...rest.losses]).toEqual(whole.losses)
      expect(weightsIn(output).equals(weights)).toBe(true)
    },
  )
})

describe('evaluation', () => {
  test('judges the weights of the moment as a loaded model is judged', async () => {
    const rows = PAIRS.slice(0, 12).map(({ anchor, positive }, i) => ({
      sentence1: anchor,
      sentence2: positive,
      score: (i * 5) % 7,
    }))
    const evaluator = { task: 'sts' as const, data: rows, name: 'dev' }
    const { result, events } = await runOf({ evaluator })
    expect(events.filter(({ type }) => type === 'evaluation')).toHaveLength(3)
    const { evaluate } = await import('../../src/evaluate/evaluate.js')
    await using model = await load(output)
    const { metrics } = await evaluate(model, evaluator)
    // Ranks of similarities may swap where they differ by rounding: sums go over other batches there.
    expect(result.metrics!['dev_pearson_cosine']).toBeCloseTo(metrics['dev_pearson_cosine']!, 5)
  })
})

describe('a moving average', () => {
  const rows = PAIRS.slice(0, 12).map(({ anchor, positive }, i) => ({
    sentence1: anchor,
    sentence2: positive,
    score: (i * 5) % 7,
  }))
  const evaluator = { task: 'sts' as const, data: rows, name: 'dev' }

  test('is what is judged, kept as the best and saved, and training goes on with the last weights', async () => {
    const options: Partial<TrainOptions> = { averageDecay: 0.8, epochs: 3, learningRate: 5e-3 }
    const plain = await runOf(options)
    const weights = weightsIn(output)
    output += '-judged'
    const judged = await runOf({ ...options, evaluator, evalSteps: 2 })
    // Putting the average in and out leaves no trace in what is trained.
    expect(judged.losses).toEqual(plain.losses)
    expect(weightsIn(output).equals(weights)).toBe(true)
    const { evaluate } = await import('../../src/evaluate/evaluate.js')
    const metricsOf = async (directory: string) => {
      await using model = await load(directory)
      return (await evaluate(model, evaluator)).metrics
    }
    const close = (a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>) =>
      // Sums go over other batches there, and ranks of similarities may swap where they differ by rounding.
      expect(a['dev_pearson_cosine']).toBeCloseTo(b['dev_pearson_cosine']!, 5)
    close(judged.result.metrics!, await metricsOf(output))
    output += '-best'
    const best = await runOf({ ...options, evaluator, evalSteps: 2, keepBest: true, learningRate: 0.05 })
    expect(best.result.best!.step).toBeLessThan(18)
    close(best.result.metrics!, await metricsOf(output))
    const card = readFileSync(path.join(output, 'README.md'), 'utf8')
    expect(card).toContain(best.result.metrics!['dev_pearson_cosine']!.toFixed(4))
  })

  test('a run that is stopped between evaluations goes on with the same bits and the same judgements', async () => {
    const options: Partial<TrainOptions> = { averageDecay: 0.8, epochs: 3, evaluator, evalSteps: 2, saveSteps: 3 }
    const scores = (events: readonly TrainingEvent[]) =>
      events.flatMap((event) => (event.type === 'evaluation' ? [[event.step, event.score]] : []))
    const whole = await runOf(options)
    const weights = weightsIn(output)
    output += '-parts'
    const run = train({ ...base(), ...options })
    const stopped = await (async () => {
      for await (const event of run) if (event.type === 'step' && event.step === 7) run.abort()
    })().catch((error: unknown) => error)
    expect(stopped).toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
    const rest = await runOf({ ...options, resume: true })
    const again = scores(rest.events)
    expect(again.length).toBeGreaterThan(2)
    expect(again).toEqual(scores(whole.events).slice(-again.length))
    expect(weightsIn(output).equals(weights)).toBe(true)
  })
})

describe('what is trained and saved', () => {
  test('a projection, other pooling, and Matryoshka', async () => {
    const { result } = await runOf({ projection: 8, pooling: ['cls', 'mean'], matryoshka: [8, 4] })
    expect(result.steps).toBe(12)
    await using model = await load(output)
    expect(model.info).toMatchObject({ dimension: 8, pooling: ['cls', 'mean'], normalize: true })
    expect(readdirSync(path.join(output, '2_Dense')).sort()).toEqual(['config.json', 'model.safetensors'])
  })

  test('a model that was saved trains further', async () => {
    await runOf({ projection: 8 })
    const first = output
    output += '-further'
    const { losses } = await runOf({ model: first })
    expect(losses.every(Number.isFinite)).toBe(true)
    expect((await vectorsOf(output))[0]).toHaveLength(8)
  })

  test('frozen layers stay as they are', async () => {
    await runOf({ freeze: { embeddings: true, layers: 1 } })
    const [before, after] = [MODEL, output].map((one) => new Tensors(path.join(one, 'model.safetensors')))
    const changed = after!.names.filter((name) => {
      const [a, b] = [before!, after!].map((tensors) => [...tensors.any(name).data])
      return a!.some((value, i) => value !== b![i])
    })
    expect(changed.length).toBeGreaterThan(10)
    expect(changed.every((name) => name.includes('layer.1.'))).toBe(true)
  })

  test('an adapter has the layout of PEFT, and merged it is a model', async () => {
    const method = { type: 'lora' as const, rank: 4, alpha: 8, targets: ['query', 'output.dense'] }
    await runOf({ method, epochs: 4 })
    const config = JSON.parse(readFileSync(path.join(output, 'adapter_config.json'), 'utf8')) as object
    expect(config).toMatchObject({ peft_type: 'LORA', r: 4, lora_alpha: 8, base_model_name_or_path: MODEL })
    const names = new Tensors(path.join(output, 'adapter_model.safetensors')).names
    expect(names).toContain('base_model.model.encoder.layer.0.attention.self.query.lora_A.weight')
    // query, attention.output.dense and output.dense of two layers, A and B of each
    expect(names).toHaveLength(12)
    expect(existsSync(path.join(output, 'model.safetensors'))).toBe(false)
    output += '-merged'
    await runOf({ method, epochs: 4, merge: true })
    expect(distance(await vectorsOf(output), await vectorsOf(MODEL))).toBeGreaterThan(1e-3)
  })

  test('a decoder becomes bidirectional', async () => {
    const decoder = path.join(STACK, 'decoder')
    await runOf({ model: decoder, attention: 'bidirectional', method: 'lora', merge: true })
    const config = JSON.parse(readFileSync(path.join(output, 'config.json'), 'utf8')) as { is_causal: boolean }
    expect(config.is_causal).toBe(false)
    await using model = await load(output)
    expect(model.info.attention).toBe('bidirectional')
  })
})

describe('losses', () => {
  const scored = PAIRS.map(({ anchor, positive }, i) => ({
    sentence1: anchor,
    sentence2: positive,
    score: (i % 5) / 4,
  }))
  const labelled = PAIRS.flatMap(({ anchor, positive }, i) => [
    { sentence: anchor, label: i % 6 },
    { sentence: positive, label: i % 6 },
  ])
  const triplets = PAIRS.map((row, i) => ({ ...row, negative: PAIRS[(i + 5) % 48]!.positive }))
  test.each<[string, Partial<TrainOptions>]>([
    ['SimCSE', { data: PAIRS.map(({ anchor }) => ({ sentence: anchor })) }],
    ['CoSENT by default', { data: scored }],
    ['mined triplets by default', { data: labelled, sampler: undefined }],
    [
      'GTE',
      {
        loss: {
          type: 'MultipleNegativesRankingLoss',
          directions: ['query_to_doc', 'query_to_query', 'doc_to_query', 'doc_to_doc'],
          learnedScale: true,
          maskTexts: true,
        },
      },
    ],
    ['weighted', { data: triplets, loss: ['MultipleNegativesRankingLoss', { type: 'TripletLoss', weight: 0.1 }] }],
    ['a guide', { loss: { type: 'GISTEmbedLoss', guide: MODEL } }],
    ['a teacher', { loss: { type: 'MSELoss', teacher: MODEL } }],
    ['margins', { data: triplets.map((row) => ({ ...row, score: 0.5 })) }],
  ])('%s', async (_, options) => {
    const { losses } = await runOf({ epochs: 1, ...options })
    expect(losses.length).toBeGreaterThan(3)
    expect(losses.every(Number.isFinite)).toBe(true)
  })
})

test('the plan counts what the trainer has', async () => {
  const plan = await planTraining({ ...base(), method: 'lora', projection: 8 })
  expect(plan).toMatchObject({ steps: 12, rows: 48, dimension: 8, sampler: 'random' })
  // Queries and values of two layers of 16, rank 8; a projection of 16 to 8 with a bias.
  expect(plan.trainedParameters).toBe(2 * 2 * 8 * 32 + 16 * 8 + 8)
  expect(existsSync(output)).toBe(false)
})

describe.skipIf(!hasPython)('in Python (EMBEDCORE_TEST_PYTHON names one with sentence-transformers and peft)', () => {
  const open = (...args: string[]): number[][] => openInPython(args, TEXTS)

  test('sentence-transformers opens a model', { timeout: 300_000 }, async () => {
    await runOf({ projection: 8 })
    expect(distance(open('st', output), await vectorsOf(output))).toBeLessThan(CLOSE)
  })

  test(
    'sentence-transformers and PEFT open an adapter, with the vectors of the merged model',
    { timeout: 300_000 },
    async () => {
      // The base as sentence-transformers reads it from the adapter's directory.
      const model = path.join(root, 'base')
      cpSync(MODEL, model, { recursive: true })
      const method = {
        type: 'lora' as const,
        rank: 4,
        alpha: 16,
        rslora: true,
        targets: ['query', 'intermediate.dense'],
      }
      await runOf({ model, method, epochs: 4 })
      const adapter = output
      output += '-merged'
      await runOf({ model, method, epochs: 4, merge: true })
      const merged = await vectorsOf(output)
      expect(distance(merged, await vectorsOf(MODEL))).toBeGreaterThan(100 * CLOSE)
      expect(distance(open('st', adapter), merged)).toBeLessThan(CLOSE)
      expect(distance(open('peft', model, adapter), merged)).toBeLessThan(CLOSE)
    },
  )
})
