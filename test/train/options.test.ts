/** Options of train: what is refused before any work, and the defaults. */
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { EmbedCoreError } from '../../src/core/errors.js'
import { LOSSES } from '../../src/train/loss-types.js'
import { checkLosses } from '../../src/train/losses.js'
import { trainedParts } from '../../src/train/method.js'
import { checkFreeze, checkMethod } from '../../src/train/method-options.js'
import { resolveTrainOptions } from '../../src/train/options.js'
import { rateFactor, warmupSteps } from '../../src/train/schedule.js'
import { checkProjection, planStack } from '../../src/train/stack.js'
import { startTraining } from '../../src/train/train.js'
import type { TrainOptions } from '../../src/train/types.js'
import { readModelDirectory } from '../../src/model/directory.js'
import { GOLDEN } from '../support/golden.js'
import { fakeTraining } from './fake-training.js'

const MODEL = path.join(GOLDEN, 'stack/mean-normalize')
const BASE = { model: MODEL, data: [{ anchor: 'a', positive: 'b' }], output: '/nowhere/that/is' } satisfies TrainOptions

const refusal = (options: object): EmbedCoreError => {
  try {
    resolveTrainOptions({ ...BASE, ...options })
  } catch (error) {
    expect(error).toBeInstanceOf(EmbedCoreError)
    return error as EmbedCoreError
  }
  throw new Error('nothing was refused')
}

describe('options', () => {
  test('have the defaults of sentence-transformers', () => {
    expect(resolveTrainOptions(BASE)).toMatchObject({
      epochs: 1,
      maxSteps: null,
      batchSize: 32,
      learningRate: 5e-5,
      schedule: 'linear',
      warmup: 0.1,
      weightDecay: 0,
      betas: [0.9, 0.999],
      maxGradNorm: 1,
      seed: 42,
      dropout: true,
      dtype: 'float32',
      losses: null,
      method: { type: 'full' },
    })
    expect(resolveTrainOptions({ ...BASE, method: 'lora' }).learningRate).toBe(2e-4)
  })

  test.each<[object, string, string]>([
    [{ model: undefined }, 'INVALID_OPTION', 'the directory or hub id of a model'],
    [{ output: undefined }, 'INVALID_OPTION', 'the path of a directory'],
    [{ epoch: 2 }, 'UNKNOWN_OPTION', 'did you mean "epochs"?'],
    [{ learning_rate: 1 }, 'UNKNOWN_OPTION', 'did you mean "learningRate"?'],
    [{ epochs: 1, maxSteps: 2 }, 'INVALID_OPTION', 'either epochs or maxSteps'],
    [{ epochs: 0 }, 'INVALID_OPTION', 'epochs'],
    [{ batchSize: 0 }, 'INVALID_OPTION', 'batchSize'],
    [{ learningRate: -1 }, 'INVALID_OPTION', 'learningRate'],
    [{ warmup: 1.5 }, 'INVALID_OPTION', 'warmup'],
    [{ betas: [0.9] }, 'INVALID_OPTION', 'betas'],
    [{ schedule: 'cosin' }, 'INVALID_OPTION', "did you mean 'cosine'?"],
    [{ dtype: 'int8' }, 'INVALID_OPTION', "one of 'float32', 'bfloat16'"],
    [{ attention: 'prefix' }, 'INVALID_OPTION', "'causal' or 'bidirectional'"],
    [{ merge: true, method: 'full' }, 'INVALID_OPTION', 'merge'],
    [{ evalSteps: 5 }, 'INVALID_OPTION', 'nothing without evaluator'],
    [{ earlyStopping: { patience: 2 } }, 'INVALID_OPTION', 'nothing without evaluator'],
    [{ evaluator: { task: 'sts', dat: 'x' } }, 'UNKNOWN_OPTION', 'did you mean "data"?'],
    [{ loss: 'CoSENT' }, 'INVALID_OPTION', "did you mean 'CoSENTLoss'?"],
    [{ loss: 'InfoNCE' }, 'INVALID_OPTION', "use 'MultipleNegativesRankingLoss'"],
    [{ loss: 'CachedMultipleNegativesRankingLoss' }, 'INVALID_OPTION', 'gradientCache: true'],
    [{ loss: { type: 'CoSENTLoss', scal: 20 } }, 'UNKNOWN_OPTION', 'did you mean "scale"?'],
    [{ loss: { type: 'GISTEmbedLoss' } }, 'INVALID_OPTION', 'guide'],
    [{ loss: [] }, 'INVALID_OPTION', 'loss'],
    [{ loss: ['TripletLoss', 'TripletLoss'] }, 'INVALID_OPTION', 'a name of its own'],
    [{ loss: { type: 'MultipleNegativesRankingLoss', directions: ['doc_to_query'] } }, 'INVALID_OPTION', 'directions'],
    [{ loss: 'TripletLoss', matryoshka: [64, 64] }, 'INVALID_OPTION', 'different dimensions'],
    [{ method: 'houlsby' }, 'INVALID_OPTION', 'bottleneck adapters (Houlsby) cannot be trained here yet'],
    [{ method: { type: 'adapter' } }, 'INVALID_OPTION', 'bottleneck adapters cannot be trained here yet'],
    [{ method: 'loar' }, 'INVALID_OPTION', "did you mean 'lora'?"],
    [{ method: { type: 'lora', r: 8 } }, 'UNKNOWN_OPTION', 'rank'],
    [{ method: { type: 'lora', targets: '(' } }, 'INVALID_OPTION', 'a regular expression'],
    [{ method: 'lora', freeze: { layers: 1 } }, 'INVALID_OPTION', 'freeze'],
    [{ projection: 0 }, 'INVALID_OPTION', 'dimensions'],
    [{ sampler: 'group-by-label', batchSize: 5 }, 'INVALID_OPTION', 'an even number'],
    [{ data: 5 }, 'INVALID_OPTION', 'data'],
  ])('%j is refused', (options, code, message) => {
    const error = refusal(options)
    expect(error.code).toBe(`ERR_EMBEDCORE_${code}`)
    expect(error.message).toContain(message)
  })

  test('a refusal comes before anything is read or written', async () => {
    const { training, seen } = fakeTraining()
    await expect(startTraining({ ...BASE, seeds: 1 } as TrainOptions, training)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_UNKNOWN_OPTION',
    })
    expect(seen.options).toBeNull()
  })
})

describe('losses and data', () => {
  const run = (data: TrainOptions['data'], options: Partial<TrainOptions> = {}) =>
    startTraining({ ...BASE, data, ...options }, fakeTraining().training).catch((error: unknown) => error)
  const scored = [{ sentence1: 'a', sentence2: 'b', score: 1 }]

  test.each([...LOSSES])('%s has the kind and defaults that the trainer knows', (type) => {
    const given = type === 'GISTEmbedLoss' ? { type, guide: 'g' } : type
    const [loss] = checkLosses(given, undefined)
    expect(loss!.raw).toMatchObject({ name: type, weight: 1, dims: [], dimsPerStep: -1 })
    for (const value of Object.values(loss!.raw.parameters)) expect(value).not.toBeUndefined()
  })

  test('a loss refuses data that it has no use for', async () => {
    expect(await run(scored, { loss: 'TripletLoss' })).toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_OPTION',
      message: 'Expected triplets for the loss TripletLoss but rows has scored-pairs (sentence1, sentence2)',
    })
    expect(await run(BASE.data, { loss: 'MSELoss' })).toMatchObject({
      message: expect.stringContaining('or a teacher model') as string,
    })
    expect(await run(BASE.data, { batchSize: 1 })).toMatchObject({
      message: expect.stringContaining('at least 2 for MultipleNegativesRankingLoss') as string,
    })
    expect(await run({ a: BASE.data, b: scored })).toMatchObject({
      message: expect.stringContaining('Expected the option loss for sources of different kinds') as string,
    })
  })

  test('an iterable needs maxSteps for a schedule', async () => {
    const rows = (async function* () {
      yield* BASE.data
    })()
    expect(await run(rows)).toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_OPTION',
      message: expect.stringContaining('Expected maxSteps for rows of an iterable') as string,
    })
  })
})

describe('what is trained', () => {
  const parameters = fakeTraining().training().parameters('')
  const parts = (method: unknown, freeze?: unknown) => {
    const checked = checkMethod(method)
    return trainedParts(parameters, checked, checkFreeze(freeze, checked))
  }

  test('is everything, or what is not frozen', () => {
    expect(parts('full')).toMatchObject({ trains: null, lora: [] })
    const { trains } = parts('full', { embeddings: true, layers: 1 })
    expect(trains!.every((name) => name.startsWith('encoder.layer.1.'))).toBe(true)
    expect(trains).toHaveLength(5)
    expect(() => parts('full', { layers: 3 })).toThrow(/at most 2/)
  })

  test('is biases under BitFit', () => {
    expect(parts('bitfit').trains).toEqual([
      'encoder.layer.0.attention.self.query.bias',
      'encoder.layer.1.attention.self.query.bias',
    ])
    expect(parts('bitfit').trained).toBe(32)
  })

  test('is found by the rules of PEFT under LoRA', () => {
    const modules = (options: object) => parts({ type: 'lora', ...options }).lora.map(({ module }) => module)
    expect(modules({})).toEqual(
      [0, 1].flatMap((i) => ['query', 'value'].map((name) => `encoder.layer.${i}.attention.self.${name}`)),
    )
    expect(modules({ targets: 'all-linear' })).toHaveLength(8)
    expect(modules({ targets: ['output.dense'] })).toEqual([0, 1].map((i) => `encoder.layer.${i}.output.dense`))
    expect(modules({ targets: String.raw`encoder\.layer\.1\..*query` })).toEqual([
      'encoder.layer.1.attention.self.query',
    ])
    expect(modules({ layersToTransform: 1 })).toHaveLength(2)
    expect(() => modules({ targets: ['quer'] })).toThrow(/query, attention.self.key/)
    expect(() => modules({ layersToTransform: [2] })).toThrow(/layers from 0 to 1/)
  })

  test('has the scales of PEFT', () => {
    const { lora, trained } = parts({
      type: 'lora',
      rank: 4,
      alpha: 16,
      rslora: true,
      rankPattern: { 'layer.1.attention.self.query': 2 },
      alphaPattern: { value: 8 },
    })
    expect(lora.map(({ rank, scale }) => [rank, scale])).toEqual([
      [4, 8],
      [4, 4],
      [2, 16 / Math.SQRT2],
      [4, 4],
    ])
    expect(trained).toBe(32 * (4 + 4 + 2 + 4))
  })
})

describe('the stack', () => {
  test('gets a projection before the normalisation', async () => {
    const stack = planStack(await readModelDirectory(MODEL), 16, {
      pooling: ['mean', 'max'],
      projection: checkProjection({ dimensions: 8, bias: false }),
      normalize: null,
      trainsOwn: true,
    })
    expect(stack.modules.map(({ folder }) => folder)).toEqual(['2_Dense', '3_Normalize'])
    expect(stack.modules[0]!.raw).toMatchObject({ inFeatures: 32, outFeatures: 8, bias: false, directory: '' })
    expect([stack.pooledWidth, stack.dimension, stack.normalized]).toEqual([32, 8, true])
  })

  test('refuses a pooling that its modules cannot follow', async () => {
    const description = await readModelDirectory(path.join(GOLDEN, 'stack/cls-dense-tanh'))
    const choice = { projection: null, normalize: null, trainsOwn: true }
    expect(() => planStack(description, 16, { ...choice, pooling: ['mean', 'max'] })).toThrow(/16 dimensions/)
  })
})

describe('schedules', () => {
  test('are those of transformers', () => {
    // get_scheduler(name, num_warmup_steps=4, num_training_steps=20) at steps 0, 2, 4, 12, 20.
    const at = [0, 2, 4, 12, 20]
    const factors = (name: Parameters<typeof rateFactor>[0]) => at.map((step) => rateFactor(name, step, 4, 20))
    expect(factors('linear')).toEqual([0, 0.5, 1, 0.5, 0])
    expect(factors('constant')).toEqual([0, 0.5, 1, 1, 1])
    factors('cosine').forEach((factor, i) => expect(factor).toBeCloseTo([0, 0.5, 1, 0.5, 0][i]!, 12))
    expect([warmupSteps(0.1, 14), warmupSteps(0, 14), warmupSteps(3, 14)]).toEqual([2, 0, 3])
  })
})
