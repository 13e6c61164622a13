/**
 * float32, bfloat16 and int8 through the public API: their info, the same bits in any batch, and their distance to
 * float32 on real models. Real models and texts are in ../shared, next to the checkout; without them that part is
 * skipped, and says so.
 */
import { existsSync } from 'node:fs'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { embedCore, type Dtype, type Model } from '../../src/index.js'
import { native } from '../../src/core/native.js'
import { GOLDEN, REAL_MODELS, ROOT } from '../support/golden.js'
import { devPairs, hasPairs, spearman } from '../support/sts.js'

/** Those of a CPU. */
const DTYPES = ['float32', 'bfloat16', 'int8'] as const satisfies readonly Dtype[]
/** The bounds that the documentation of `Dtype` states. */
const LEAST_COSINE = { float32: 1, bfloat16: 0.9999, int8: 0.998 } as const
/** Of STS-B dev, in points of 100. */
const MOST_LOSS = 0.5

const STACK = path.join(GOLDEN, 'stack')
const PATHS = [...native().cpu().features, 'reference']

let cache: string
beforeAll(async () => {
  cache = await mkdtemp(path.join(tmpdir(), 'embedcore-dtypes-'))
  vi.stubEnv('EMBEDCORE_CACHE', cache)
})
afterAll(async () => {
  vi.unstubAllEnvs()
  await rm(cache, { recursive: true })
})

/** Cosine of each row of a with the same row of b. */
async function cosines(a: Float32Array, b: Float32Array, dimension: number): Promise<number[]> {
  const table = await embedCore.similarity(a, b, { dimension })
  return Array.from({ length: table.shape[0] }, (_, i) => table.row(i)[i]!)
}

const bits = (row: Float32Array) => Buffer.from(row.buffer, row.byteOffset, row.byteLength).toString('hex')

/**
 * The texts whose vectors differ in any bit from those that they have alone on one thread: in lists forwards and
 * backwards, simultaneously, on one to three threads.
 */
async function strays(directory: string, dtype: Dtype, texts: readonly string[]): Promise<string[]> {
  const found = new Set<string>()
  const one = await embedCore.load(directory, { dtype, threads: 1 })
  const alone = new Map<string, string>()
  for (const text of texts) alone.set(text, bits((await one.encode(text)).row(0)))
  expect(new Set(alone.values()).size, 'different texts have different vectors').toBeGreaterThan(texts.length / 2)
  for (const threads of [1, 2, 3]) {
    const model = await embedCore.load(directory, { dtype, threads })
    const calls = [texts, texts.toReversed(), texts.slice(0, 5)]
    const results = await Promise.all(calls.map((call) => model.encode(call)))
    for (const [k, call] of calls.entries())
      call.forEach(
        (text, i) => bits(results[k]!.row(i)) === alone.get(text) || found.add(`${threads} threads: ${text}`),
      )
    await model.dispose()
  }
  await one.dispose()
  return [...found]
}

describe('static models', () => {
  test.each(['float16', 'bfloat16', 'int8'] as const)('have no %s, and say why', async (dtype) => {
    const reason = {
      code: 'ERR_EMBEDCORE_INVALID_OPTION',
      message: expect.stringMatching(
        new RegExp(`^Expected 'float32' or 'auto' \\(.* is a static model: .*\\) for dtype but received "${dtype}"$`),
      ) as string,
    }
    await expect(embedCore.load(path.join(STACK, 'static'), { dtype })).rejects.toMatchObject(reason)
    await expect(embedCore.load(undefined, { dtype })).rejects.toMatchObject(reason)
  })

  test('are float32, also by auto, without measuring', async () => {
    const [plain, auto] = await Promise.all([
      embedCore.load(undefined, { dtype: 'float32' }),
      embedCore.load(undefined, { dtype: 'auto' }),
    ])
    expect(plain.info).toMatchObject({ dtype: 'float32', dtypeChoice: null })
    expect(auto.info).toMatchObject({ dtype: 'float32', dtypeChoice: { measured: [], remembered: false } })
    await Promise.all([plain.dispose(), auto.dispose()])
  })
})

describe.each(['mean-normalize', 'decoder', 'cls-dense-tanh'])('%s', (name) => {
  const directory = path.join(STACK, name)
  // Words of the small vocabularies of these models, one to twenty-three per text.
  const words = [
    'quick',
    'brown',
    'fox',
    'lazy',
    'dog',
    'jumps',
    'over',
    'the',
    'old',
    'harbour',
    'ceramic',
    'cups',
    'phone',
    'case',
    'customer',
    'returned',
    'machine',
  ]
  const texts = Array.from({ length: 16 }, (_, i) =>
    Array.from({ length: 1 + ((7 * i) % 23) }, (_unused, k) => words[(i + (i + 3) * k) % words.length]).join(' '),
  )

  test.each(DTYPES)('info tells %s', async (dtype) => {
    const model = await embedCore.load(directory, { dtype })
    expect(model.info).toMatchObject({ dtype, dtypeChoice: null })
    expect((await model.encode(texts)).data.every(Number.isFinite)).toBe(true)
    await model.dispose()
  })

  test('float16 is refused by a CPU, which says what it has', async () => {
    for (const isa of native().cpu().features) {
      vi.stubEnv('EMBEDCORE_CPU_ISA', isa)
      try {
        await expect(embedCore.load(directory, { dtype: 'float16' })).rejects.toMatchObject({
          code: 'ERR_EMBEDCORE_INVALID_OPTION',
          message:
            `Expected a dtype that cpu-${isa} computes in ('float32', 'bfloat16', 'int8') ` + 'but received "float16"',
        })
      } finally {
        vi.stubEnv('EMBEDCORE_CPU_ISA', undefined)
      }
    }
  })

  // What rounding costs in float16 is an eighth of what it costs in bfloat16. A cosine falls with the square of that;
  // half of the loss leaves room for what these few texts happen to have.
  test.each(['reference', 'reference-device'])('float16 is nearer to float32 than bfloat16, on %s', async (isa) => {
    vi.stubEnv('EMBEDCORE_CPU_ISA', isa)
    try {
      const [exact, half, brain] = await Promise.all(
        (['float32', 'float16', 'bfloat16'] as const).map(async (dtype) => {
          const model = await embedCore.load(directory, { dtype })
          expect(model.info.dtype).toBe(dtype)
          const { data } = await model.encode(texts)
          const { dimension } = model.info
          await model.dispose()
          return { data, dimension }
        }),
      )
      const loss = async (other: Float32Array) => 1 - Math.min(...(await cosines(exact!.data, other, exact!.dimension)))
      expect(bits(half!.data)).not.toBe(bits(exact!.data))
      expect(await loss(half!.data)).toBeLessThan((await loss(brain!.data)) / 2)
      expect(await strays(directory, 'float16', texts.slice(0, 6))).toEqual([])
    } finally {
      vi.stubEnv('EMBEDCORE_CPU_ISA', undefined)
    }
  })

  test('the three differ, and handles of two dtypes do not share weights', async () => {
    const models = await Promise.all(DTYPES.map((dtype) => embedCore.load(directory, { dtype })))
    const rows = await Promise.all(models.map(async (model) => bits((await model.encode(texts)).data)))
    expect(new Set(rows).size).toBe(3)
    await Promise.all(models.map((model) => model.dispose()))
  })

  test.each(PATHS)('the same to the last bit in any company, on %s', async (isa) => {
    vi.stubEnv('EMBEDCORE_CPU_ISA', isa)
    try {
      for (const dtype of DTYPES) expect(await strays(directory, dtype, texts), dtype).toEqual([])
    } finally {
      vi.stubEnv('EMBEDCORE_CPU_ISA', undefined)
    }
  })

  // The smoothing of int8 is measured at load. Handles on one directory share weights, so the second load is of a copy,
  // with more threads.
  test.each(PATHS)('int8 loaded twice is the same to the last bit, on %s', async (isa) => {
    vi.stubEnv('EMBEDCORE_CPU_ISA', isa)
    const copy = await mkdtemp(path.join(cache, 'copy-'))
    try {
      await cp(directory, copy, { recursive: true })
      const models = await Promise.all([
        embedCore.load(directory, { dtype: 'int8', threads: 1 }),
        embedCore.load(copy, { dtype: 'int8', threads: 3 }),
      ])
      const [first, second] = await Promise.all(models.map(async (model) => bits((await model.encode(texts)).data)))
      expect(second === first).toBe(true)
      await Promise.all(models.map((model) => model.dispose()))
    } finally {
      vi.stubEnv('EMBEDCORE_CPU_ISA', undefined)
    }
  })

  // On a CUDA device nothing is measured (test/device/).
  test.skipIf(process.env.EMBEDCORE_CUDA_LIBRARY)('auto measures all three, once', async () => {
    const models = await Promise.all([1, 2, 3].map(() => embedCore.load(directory, { dtype: 'auto' })))
    const { dtype, dtypeChoice } = models[0]!.info
    expect(dtypeChoice).toMatchObject({ remembered: false, measured: DTYPES.map((one) => ({ dtype: one })) })
    expect(dtypeChoice!.measured.find((one) => one.dtype === dtype)!.leastCosine).toBeGreaterThanOrEqual(0.9999)
    expect(Object.isFrozen(dtypeChoice!.measured)).toBe(true)
    for (const model of models) expect(model.info).toMatchObject({ dtype, dtypeChoice })
    const later = await embedCore.load(directory, { dtype: 'auto' })
    expect(later.info).toMatchObject({ dtype, dtypeChoice: { ...dtypeChoice, remembered: true } })
    await Promise.all([...models, later].map((model) => model.dispose()))
  })
})

const REAL = [
  { name: 'all-MiniLM-L6-v2', language: 'en' },
  { name: 'bge-small-zh-v1.5', language: 'zh' },
]
const present = REAL.filter(({ name, language }) => existsSync(path.join(REAL_MODELS, name)) && hasPairs(language))
if (present.length < REAL.length)
  console.log(
    `skipped: dtypes on real models, because ${path.relative(ROOT, REAL_MODELS)} or STS-B beside it is not there`,
  )

describe.skipIf(present.length === 0).each(present)('$name', { timeout: 300_000 }, ({ name, language }) => {
  const directory = path.join(REAL_MODELS, name)
  const models = new Map<Dtype, Model>()
  beforeAll(async () => {
    for (const dtype of DTYPES) models.set(dtype, await embedCore.load(directory, { dtype }))
  })
  afterAll(() => Promise.all([...models.values()].map((model) => model.dispose())))
  const exact = () => models.get('float32')!
  const everyNth = (n: number) =>
    devPairs(language)
      .filter((_, i) => i % n === 0)
      .map(({ a }) => a)

  test.each(['bfloat16', 'int8'] as const)('%s: cosine to float32 of two hundred texts', async (dtype) => {
    const texts = everyNth(7).slice(0, 200)
    expect(texts).toHaveLength(200)
    const dimension = exact().info.dimension
    const found = await cosines(
      (await exact().encode(texts)).data,
      (await models.get(dtype)!.encode(texts)).data,
      dimension,
    )
    const least = Math.min(...found)
    console.log(
      `${name} ${dtype}: least cosine ${least.toFixed(6)}, median ${found.toSorted((a, b) => a - b)[100]!.toFixed(6)}`,
    )
    expect(least).toBeGreaterThanOrEqual(LEAST_COSINE[dtype])
  })

  test('Spearman of STS-B dev', async () => {
    const pairs = devPairs(language)
    const points: Partial<Record<Dtype, number>> = {}
    for (const [dtype, model] of models) {
      const a = (await model.encode(pairs.map((pair) => pair.a))).data
      const b = (await model.encode(pairs.map((pair) => pair.b))).data
      points[dtype] =
        100 *
        spearman(
          await cosines(a, b, model.info.dimension),
          pairs.map(({ score }) => score),
        )
    }
    const scores = DTYPES.map((dtype) => `${dtype} ${points[dtype]!.toFixed(2)}`).join(', ')
    console.log(`${name}: Spearman of STS-B ${language} dev ${scores}`)
    for (const dtype of ['bfloat16', 'int8'] as const)
      expect(points.float32! - points[dtype]!, dtype).toBeLessThanOrEqual(MOST_LOSS)
  })

  test('the weights of matrix products take a half and a quarter of the memory', () => {
    const { layers, hiddenSize, weightBytes } = exact().info
    // Query, key, value, output, and a feed-forward of four times the width, up and down. Scales and padding may take a
    // tenth of what is saved.
    const products = layers * 12 * hiddenSize ** 2
    expect(weightBytes - models.get('bfloat16')!.info.weightBytes).toBeGreaterThan(0.9 * 2 * products)
    expect(weightBytes - models.get('int8')!.info.weightBytes).toBeGreaterThan(0.9 * 3 * products)
  })

  test.each(DTYPES)('%s: the same to the last bit in any company', async (dtype) => {
    expect(await strays(directory, dtype, [...everyNth(80), everyNth(60).join(' ')])).toEqual([])
  })
})
