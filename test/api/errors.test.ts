/**
 * Calls every public function and method with every kind of wrong argument: the result is always an EmbedCoreError with
 * a code and one sentence, even if reading the argument throws.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ERROR_CODES, toEmbedCoreError } from '../../src/core/errors.js'
import { allocate } from '../../src/core/memory.js'
import { EVALUATE_RULES, EVALUATOR_RULES } from '../../src/evaluate/options.js'
import { TRAIN_RULES } from '../../src/train/options.js'
import * as api from '../../src/index.js'

const { embedCore, EmbedCoreError, load, Model, similarity, quantizationRanges } = api

const thrown = () => {
  throw new Error('mine')
}
const BAD: Record<string, unknown> = {
  undefined: undefined,
  null: null,
  true: true,
  'a number': 5,
  NaN: NaN,
  'a negative number': -1,
  'a fraction': 0.5,
  'a bigint': 10n,
  'a symbol': Symbol('s'),
  'an empty string': '',
  'a function': () => 5,
  'an object': {},
  'an empty list': [],
  'a list of numbers': [5],
  'a list of null': [null],
  'a list with holes': new Array(3),
  'a map': new Map(),
  'a date': new Date(NaN),
  'a buffer': Buffer.from('x'),
  'an int8 array': new Int8Array(8),
  'an empty float32 array': new Float32Array(0),
  'a float32 array': new Float32Array(7),
  'an array buffer': new ArrayBuffer(8),
  'an object without prototype': Object.create(null),
  'a getter that throws': Object.defineProperty({}, 'pooling', { get: thrown, enumerable: true }),
  'data that throw': Object.defineProperty({}, 'data', { get: thrown, enumerable: true }),
  'a list that throws': Object.defineProperty(['a'], '0', { get: thrown }),
  'a proxy that throws': new Proxy({}, { get: thrown, ownKeys: thrown, has: thrown, getOwnPropertyDescriptor: thrown }),
  'an iterable that throws': { [Symbol.iterator]: thrown },
  'an iterator without next': { [Symbol.iterator]: () => 5 },
  'a shape of nonsense': { data: new Float32Array(4), shape: 'ab' },
  'a shape of strings': { data: new Float32Array(4), shape: ['2', '2'] },
  'a shape that does not fit': { data: new Float32Array(4), shape: [1, 3] },
  'a promise': Promise.resolve('x'),
  'names of other libraries': { batch_size: 5, show_progress_bar: true },
  'a signal that is not one': { signal: {} },
  'an object of class': new (class Strange {})(),
}

let model: api.Model
let rows: api.SentenceEmbeddings
let tokens: api.TokenEmbeddings
let tokenized: api.TokenizedTexts
let similarities: api.Similarities
beforeAll(async () => {
  model = await load()
  rows = await model.encode(['a red apple', 'tax law'])
  tokens = await model.encode(['a red apple', 'tax law'], { output: 'token' })
  tokenized = await model.tokenize(['a red apple', 'tax law'])
  similarities = await model.similarity(rows, rows)
})
afterAll(() => model.dispose())

const drain = async (items: AsyncIterable<unknown>) => {
  for await (const item of items) void item
}

const row = { sentence1: 'a', sentence2: 'b', score: 1 }
const EVALUATOR: api.Evaluator = { task: 'sts', data: [row, { ...row, score: 2 }] }
const EVALUATORS: Readonly<Record<string, object>> = {
  sts: EVALUATOR,
  triplet: { task: 'triplet', data: [{ anchor: 'a', positive: 'b', negative: 'c' }] },
  bitext: { task: 'bitext', data: [{ source_sentence: 'a', target_sentence: 'b' }] },
  retrieval: { task: 'retrieval', queries: { q: 'a' }, corpus: { d: 'b' }, relevantDocs: { q: ['d'] } },
}

/** Each call has one wrong argument. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- wrong arguments are the point
const CALLS: Record<string, (bad: any) => unknown> = {
  'load(bad)': async (bad) => (await load(bad)).dispose(),
  'load(directory, bad)': async (bad) => (await load(undefined, bad)).dispose(),
  'new Model(bad)': (bad) => new (Model as unknown as new (bad: unknown) => unknown)(bad),
  'encode(bad)': (bad) => api.encode(bad),
  'encode(text, bad)': (bad) => api.encode('text', bad),
  'model.encode(bad)': (bad) => model.encode(bad),
  'model.encode(text, bad)': (bad) => model.encode('text', bad),
  'model.encodeQuery(bad)': (bad) => model.encodeQuery(bad),
  'model.encodeQuery(text, bad)': (bad) => model.encodeQuery('text', bad),
  'model.encodeDocument(bad)': (bad) => model.encodeDocument(bad),
  'model.encodeDocument(text, bad)': (bad) => model.encodeDocument('text', bad),
  'model.tokenize(bad)': (bad) => model.tokenize(bad),
  'model.tokenize(text, bad)': (bad) => model.tokenize('text', bad),
  'model.encodeStream(bad)': (bad) => drain(model.encodeStream(bad)),
  'model.encodeStream(texts, bad)': (bad) => drain(model.encodeStream(['text'], bad)),
  'model.similarity(bad, rows)': (bad) => model.similarity(bad, rows),
  'model.similarity(rows, bad)': (bad) => model.similarity(rows, bad),
  'model.similarity(rows, rows, bad)': (bad) => model.similarity(rows, rows, bad),
  'similarity(bad, rows)': (bad) => similarity(bad, rows),
  'similarity(rows, bad)': (bad) => similarity(rows, bad),
  'similarity(rows, rows, bad)': (bad) => similarity(rows, rows, bad),
  'quantizationRanges(bad)': (bad) => quantizationRanges(bad),
  'quantizationRanges(rows, bad)': (bad) => quantizationRanges(rows, bad),
  'evaluate(bad, evaluator)': (bad) => api.evaluate(bad, EVALUATOR),
  'evaluate(model, bad)': (bad) => api.evaluate(model, bad),
  'evaluate(model, [bad])': (bad) => api.evaluate(model, [EVALUATOR, bad]),
  'evaluate(model, evaluator, bad)': (bad) => api.evaluate(model, EVALUATOR, bad),
  'mineHardNegatives(bad, pairs)': (bad) => api.mineHardNegatives(bad, [{ anchor: 'a', positive: 'b' }]),
  'mineHardNegatives(model, bad)': (bad) => api.mineHardNegatives(model, bad),
  'mineHardNegatives(model, pairs, bad)': (bad) => api.mineHardNegatives(model, [{ anchor: 'a', positive: 'b' }], bad),
  'mineHardNegatives(model, pairs, {corpus: bad})': (bad) =>
    api.mineHardNegatives(model, [{ anchor: 'a', positive: 'b' }], { corpus: bad }),
  'train(bad)': (bad) => api.train(bad),
  'planTraining(bad)': (bad) => api.planTraining(bad),
  ...Object.fromEntries(
    Object.keys(TRAIN_RULES).map((name) => [
      `planTraining({${name}: bad})`,
      (bad: unknown) =>
        api.planTraining({ model: '/none', data: [{ anchor: 'a', positive: 'b' }], output: '/none', [name]: bad }),
    ]),
  ),
  'rows.row(bad)': (bad) => rows.row(bad),
  'similarities.row(bad)': (bad) => similarities.row(bad),
  'tokens.text(bad)': (bad) => tokens.text(bad),
  'tokens.text(0).row(bad)': (bad) => tokens.text(0).row(bad),
  'tokenized.text(bad)': (bad) => tokenized.text(bad),
  ...Object.fromEntries(
    [
      'pooling',
      'layers',
      'layerFusion',
      'attention',
      'prefixTokens',
      'output',
      'normalize',
      'dimensions',
      'precision',
      'ranges',
      'prompt',
      'promptName',
      'maxTokens',
      'truncate',
      'signal',
      'onProgress',
    ].map((name) => [`model.encode(text, {${name}: bad})`, (bad: unknown) => model.encode('text', { [name]: bad })]),
  ),
  ...Object.fromEntries(
    Object.entries(EVALUATOR_RULES).flatMap(([task, rules]) =>
      Object.keys(rules).map((name) => [
        `evaluate(model, {task: ${task}, ${name}: bad})`,
        (bad: unknown) => api.evaluate(model, { ...EVALUATORS[task], [name]: bad } as unknown as api.Evaluator),
      ]),
    ),
  ),
  ...Object.fromEntries(
    Object.keys(EVALUATE_RULES).map((name) => [
      `evaluate(model, evaluator, {${name}: bad})`,
      (bad: unknown) => api.evaluate(model, EVALUATOR, { [name]: bad }),
    ]),
  ),
  ...Object.fromEntries(
    [
      'device',
      'dtype',
      'threads',
      'maxBatchTokens',
      'maxQueueTokens',
      'maxTokens',
      'revision',
      'cacheDir',
      'token',
    ].map((name) => [
      `load(directory, {${name}: bad})`,
      async (bad: unknown) => (await load(undefined, { [name]: bad })).dispose(),
    ]),
  ),
}

async function failureOf(call: () => unknown): Promise<unknown> {
  try {
    await call()
    return null
  } catch (error) {
    return error
  }
}

describe.each(Object.entries(CALLS))('%s', (title, call) => {
  test('is refused with a code, or works', async () => {
    for (const [name, bad] of Object.entries(BAD)) {
      const error = await failureOf(() => call(bad))
      // An error of the source belongs to the caller and is passed on unchanged.
      if (error === null || (title === 'model.encodeStream(bad)' && (error as Error).message === 'mine')) continue
      expect(error, name).toBeInstanceOf(EmbedCoreError)
      const { code, message } = error as InstanceType<typeof EmbedCoreError>
      expect(ERROR_CODES, `${name}: ${message}`).toContain(code)
      expect(code, `${name}: ${message}`).not.toBe('ERR_EMBEDCORE_INTERNAL')
      expect(message, name).not.toMatch(/\.$/)
      expect(message.length, name).toBeLessThan(700)
    }
  })
})

describe('rows that are not there', () => {
  test.each([-1, 2, 0.5, NaN, Infinity, '1', null, undefined, {}])('%s', (i) => {
    const refused = expect.objectContaining({
      code: 'ERR_EMBEDCORE_INVALID_OPTION',
      message: expect.stringMatching(/^Expected an integer from 0 to \d+ for (row|text) but received /) as string,
    })
    for (const read of [rows.row, similarities.row, tokens.text, tokenized.text])
      expect(() => read(i as number)).toThrow(refused)
    const { row, tokens: words } = tokens.text(0)
    expect(() => row((i === 2 ? words.length : i) as number)).toThrow(refused)
  })

  test('of a result that has none', async () => {
    const none = await model.encode([])
    expect(none.shape).toEqual([0, model.info.dimension])
    expect(() => none.row(0)).toThrow('Expected no row (the result has none) but received 0')
  })
})

test('a disposed model refuses every call', async () => {
  const gone = await load()
  await gone.dispose()
  const disposed = expect.objectContaining({ code: 'ERR_EMBEDCORE_DISPOSED' })
  await expect(gone.encode('x')).rejects.toEqual(disposed)
  await expect(gone.encodeQuery('x')).rejects.toEqual(disposed)
  await expect(gone.encodeDocument('x')).rejects.toEqual(disposed)
  await expect(gone.tokenize('x')).rejects.toEqual(disposed)
  expect(() => gone.encodeStream(['x'])).toThrow(disposed)
  await gone.dispose()
})

describe('memory that is not there', () => {
  const refused = {
    code: 'ERR_EMBEDCORE_OUT_OF_MEMORY',
    message: expect.stringMatching(/^No memory for a result of \d+ numbers \(\d+ MiB\)/) as string,
  }

  test('of a result of similarity', async () => {
    const many = new Float32Array(1 << 20) // A result of 2^40 numbers.
    expect(await failureOf(() => similarity(many, many, { dimension: 1 }))).toMatchObject(refused)
  })

  test.each([Float32Array, Int32Array, Int8Array, Uint8Array])('of a %o', async (type) => {
    expect(await failureOf(() => allocate<unknown>(2 ** 50, type))).toMatchObject(refused)
  })

  test('of what a library allocates', () => {
    const { code, message } = toEmbedCoreError(new RangeError('Array buffer allocation failed'))
    expect([code, message]).toEqual([refused.code, 'No memory for the call: Array buffer allocation failed'])
    expect(toEmbedCoreError(new RangeError('something else')).code).toBe('ERR_EMBEDCORE_INTERNAL')
  })
})

describe('names of other libraries', () => {
  test.each([
    ['batch_size', /encodeStream/],
    ['batchSize', /encodeStream/],
    ['show_progress_bar', /use onProgress/],
    ['showProgressBar', /use onProgress/],
    ['normalize_embeddings', /use normalize/],
    ['normalizeEmbeddings', /use normalize/],
    ['truncate_dim', /use dimensions/],
    ['truncateDim', /use dimensions/],
    ['output_value', /use output: 'sentence' or 'token'/],
    ['convert_to_tensor', /typed arrays/],
    ['convertToNumpy', /typed arrays/],
    ['max_seq_length', /use maxTokens/],
    ['prompt_name', /did you mean "promptName"/],
    ['layer_fusion', /did you mean "layerFusion"/],
  ])('encode: %s', async (name, advice) => {
    const error = await failureOf(() => model.encode('x', { [name]: true } as object))
    expect(error).toMatchObject({ code: 'ERR_EMBEDCORE_UNKNOWN_OPTION' })
    expect((error as Error).message).toContain(`Expected a known option but received "${name}"; `)
    expect((error as Error).message).toMatch(advice)
  })

  test('encodeStream has a batch size of its own', async () => {
    const error = await failureOf(() => drain(model.encodeStream(['x'], { batch_size: 5 } as object)))
    expect((error as Error).message).toContain('did you mean "batchSize"?')
  })

  test.each([
    [{ device: 'gpu' }, /for device but received "gpu"; use 'cuda', or 'cuda:0' for one of several/],
    [{ device: 'gpu:1' }, /received "gpu:1"; use 'cuda'/],
    [{ device: 'mps' }, /; models run on the CPU and on NVIDIA GPUs \('cuda'\); see embedCore\.devices\(\)/],
    [{ device: 'cuda:x' }, /^Expected 'auto', 'cpu', 'cuda' or .* received "cuda:x"; did you mean 'cuda:0'\?$/],
    [{ device: 'CUDA' }, /did you mean 'cuda'\?/],
    [{ device: 'cuda0' }, /did you mean 'cuda:0'\?/],
    [{ device: 'cuda:1000' }, /from 'cuda:0' to 'cuda:999' for device but received "cuda:1000"/],
    [{ device: 'cuda:-1' }, /received "cuda:-1"/],
    [{ device: 'cuda:01' }, /received "cuda:01"/],
    [{ dtype: 'fp16' }, /use 'float16', or 'bfloat16' on a CPU/],
    [{ dtype: 'bf16' }, /use 'bfloat16'/],
    [{ dtype: 'fp32' }, /use 'float32'/],
    [{ dtype: 'q8' }, /use 'int8'/],
    [{ torch_dtype: 'auto' }, /use dtype/],
    [{ cache_folder: 'x' }, /use cacheDir/],
    [{ local_files_only: true }, /use offline/],
    [{ trust_remote_code: true }, /never run/],
  ])('load: %j', async (options, advice) => {
    const error = await failureOf(() => load(undefined, options as object))
    expect((error as Error).message).toMatch(advice)
  })

  test.each([
    [{ output: 'token_embeddings' }, /use 'token'/],
    [{ output: 'sentence_embedding' }, /use 'sentence'/],
    [{ pooling: 'average' }, /use 'mean'/],
    [{ pooling: 'last_token' }, /did you mean 'lasttoken'/],
  ])('encode: %j', async (options, advice) => {
    const error = await failureOf(() => model.encode('x', options as object))
    expect((error as Error).message).toMatch(advice)
  })

  test('metrics', async () => {
    for (const [given, advice] of [
      ['cos_sim', "use 'cosine'"],
      ['dot_score', "use 'dot'"],
    ] as const) {
      const error = await failureOf(() => similarity(rows, rows, { metric: given } as object))
      expect((error as Error).message).toContain(advice)
    }
  })
})

test('the object and the named exports are the same', () => {
  for (const [name, value] of Object.entries(embedCore)) expect(api[name as keyof typeof api], name).toBe(value)
  expect(model).toBeInstanceOf(Model)
  expect({}).not.toBeInstanceOf(Model)
})
