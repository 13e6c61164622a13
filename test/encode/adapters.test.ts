/** Adapters beside a model: which call gets which, what is refused, and how they end. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { type Dtype, load, type Model } from '../../src/index.js'
import { native } from '../../src/core/native.js'
import { layerMatrices } from '../../src/model/layer-matrices.js'
import { writeAdapter, writeSafetensors } from '../support/adapter-files.js'
import { deviation, GOLDEN, sameBits } from '../support/golden.js'
import { makeModel } from '../support/made-model.mjs'

const STACK = path.join(GOLDEN, 'stack/mean-normalize')
const TEXTS = Array.from({ length: 60 }, (_, i) => `the quick brown fox and a small cup ${'of tea '.repeat(i % 7)}${i}`)
const root = mkdtempSync(path.join(tmpdir(), 'embedcore-adapters-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
afterEach(() => vi.restoreAllMocks())

const matrices = layerMatrices(native().parameters(STACK))
const first = writeAdapter(path.join(root, 'first'), matrices, 1)
const second = writeAdapter(
  path.join(root, 'second'),
  new Map([...matrices].filter(([name]) => name.includes('layer.1.') && !name.includes('key'))),
  2,
)
const data = async (model: Model, adapter?: string, texts = TEXTS): Promise<Float32Array> =>
  (await model.encode(texts, adapter === undefined ? {} : { adapter })).data

test('calls that run at once get the vectors of their own adapter, to the last bit', async () => {
  await using model = await load(STACK, { threads: 2 })
  const before = await data(model)
  await model.loadAdapter(first, { name: 'first' })
  await model.loadAdapter(second, { name: 'second' })
  expect(model.adapters.map(({ name, matrices: count }) => [name, count])).toEqual([
    ['first', 12],
    ['second', 5],
  ])
  const names = [undefined, 'first', 'second']
  const alone = await Promise.all(names.map((name) => data(model, name)))
  expect(sameBits(alone[0]!, before)).toBe(true)
  for (const [a, b] of [
    [0, 1],
    [0, 2],
    [1, 2],
  ] as const)
    expect(deviation(alone[a]!, alone[b]!, 16).difference).toBeGreaterThan(0.05)
  // Short calls of all three kinds wait together, so that the queue could put them into one batch.
  const calls = TEXTS.flatMap((text, i) => names.map((name, n) => ({ i, n, result: data(model, name, [text]) })))
  for (const { i, n, result } of calls)
    expect(sameBits(await result, alone[n]!.subarray(i * 16, (i + 1) * 16)), `text ${i}, adapter ${n}`).toBe(true)
})

test('token output, layers, streams and prompts take an adapter', async () => {
  await using model = await load(STACK)
  await model.loadAdapter(first)
  const tokens = await model.encode('quick brown fox', { output: 'token', adapter: 'default' })
  expect(sameBits(tokens.data, (await model.encode('quick brown fox', { output: 'token' })).data)).toBe(false)
  // State 0 is the embeddings, which no adapter of layers changes.
  const embeddings = await Promise.all(
    [{}, { adapter: 'default' }].map((adapter) => model.encode(TEXTS, { layers: 0, ...adapter })),
  )
  expect(sameBits(embeddings[0]!.data, embeddings[1]!.data)).toBe(true)
  const whole = await data(model, 'default')
  let i = 0
  for await (const { vector } of model.encodeStream(TEXTS, { adapter: 'default', batchSize: 7 }))
    expect(sameBits(vector, whole.subarray(i * 16, ++i * 16))).toBe(true)
  expect(i).toBe(TEXTS.length)
  const query = await model.encodeQuery(TEXTS, { adapter: 'default' })
  expect(sameBits(query.data, whole)).toBe(true) // The model's query prompt is empty.
})

describe('dtypes', () => {
  // Of the arithmetic alone, on this model of 16 dimensions: what it gives without an adapter, with room for numbers
  // that the adapter makes larger.
  test.each<[Dtype, number]>([
    ['bfloat16', 0.9995],
    ['int8', 0.998],
  ])('%s, beside and added, is near float32', async (dtype, least) => {
    await using exact = await load(STACK, { adapter: first })
    const expected = await data(exact)
    await using beside = await load(STACK, { dtype })
    await beside.loadAdapter(first)
    await using added = await load(STACK, { dtype, adapter: first })
    for (const [how, vectors] of [
      ['beside', await data(beside, 'default')],
      ['added', await data(added)],
    ] as const)
      expect(deviation(vectors, expected, 16).cosine, how).toBeGreaterThan(least)
  })
})

describe('the end', () => {
  test('a name is free again, and calls of an adapter that is gone are refused', async () => {
    await using model = await load(STACK)
    const info = await model.loadAdapter(first, { name: 'shop' })
    // Rank 3; rows of 64 floats begin each matrix.
    expect(info.parameters).toBe([...matrices.values()].reduce((sum, [out, into]) => sum + 3 * (out! + into!), 0))
    expect(info.weightBytes).toBeGreaterThanOrEqual(4 * info.parameters)
    const own = await data(model, 'shop')
    await expect(model.loadAdapter(second, { name: 'shop' })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_OPTION',
    })
    await model.unloadAdapter('shop')
    expect(model.adapters).toEqual([])
    await expect(model.encode('a', { adapter: 'shop' })).rejects.toThrow(/loadAdapter has loaded/)
    await expect(model.unloadAdapter('shop')).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_OPTION' })
    await model.loadAdapter(second, { name: 'shop' })
    expect(sameBits(await data(model, 'shop'), own)).toBe(false)
    await expect(model.encode('a', { adapter: 'shup' })).rejects.toThrow(/did you mean 'shop'/)
  })

  test('unloading while calls run rejects them and leaves others alone', async () => {
    await using model = await load(STACK, { threads: 1 })
    const many = Array.from({ length: 4000 }, (_, i) => TEXTS[i % TEXTS.length]!)
    const expected = await data(model, undefined, many)
    await model.loadAdapter(first)
    let begin = (): void => undefined
    const begun = new Promise<void>((resolve) => (begin = resolve))
    const withAdapter = model.encode(many, { adapter: 'default', onProgress: () => begin() }).then(
      () => 'done',
      ({ code }: { code: string }) => code,
    )
    const without = data(model, undefined, many)
    await begun
    await model.unloadAdapter('default')
    expect(await withAdapter).toBe('ERR_EMBEDCORE_DISPOSED')
    expect(sameBits(await without, expected)).toBe(true)
  })

  test('disposing the model frees its adapters, also one that is being loaded', async () => {
    const model = await load(STACK)
    await model.loadAdapter(first)
    const call = model.encode(TEXTS, { adapter: 'default' })
    const loading = model.loadAdapter(second, { name: 'second' })
    const ends = Promise.allSettled([call, loading])
    await model.dispose()
    for (const end of await ends) expect(end).toMatchObject({ reason: { code: 'ERR_EMBEDCORE_DISPOSED' } })
    expect(model.adapters).toEqual([])
    await expect(model.loadAdapter(first)).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_DISPOSED' })
  })

  test('a load is aborted', async () => {
    await using model = await load(STACK)
    const controller = new AbortController()
    const loading = model.loadAdapter(first, { signal: controller.signal })
    controller.abort()
    await expect(loading).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
    await model.loadAdapter(first)
  })
})

describe('refused', () => {
  const query = 'encoder.layer.0.attention.self.query'
  const some = (...names: string[]) => new Map([...matrices].filter(([name]) => names.includes(name)))
  const refusal = async (directory: string): Promise<{ code: string; message: string }> => {
    await using model = await load(STACK)
    const errors = await Promise.all(
      [model.loadAdapter(directory), load(STACK, { adapter: directory })].map((promise) =>
        promise.then(
          () => null,
          (error: { code: string; message: string }) => ({ code: error.code, message: error.message }),
        ),
      ),
    )
    expect(errors[0]).toEqual(errors[1])
    expect(errors[0]).not.toBeNull()
    return errors[0]!
  }

  test.each<[string, Record<string, unknown>, string]>([
    ['use_dora', { use_dora: true }, '_UNSUPPORTED_MODEL'],
    ['bias', { bias: 'lora_only' }, '_UNSUPPORTED_MODEL'],
    ['lora_bias', { lora_bias: true }, '_UNSUPPORTED_MODEL'],
    ['modules_to_save', { modules_to_save: ['embeddings'] }, '_UNSUPPORTED_MODEL'],
    ['peft_type', { peft_type: 'IA3' }, '_UNSUPPORTED_MODEL'],
    ['init_lora_weights', { init_lora_weights: 'pissa' }, '_UNSUPPORTED_MODEL'],
    ['some_new_key', { some_new_key: { on: 1 } }, '_UNSUPPORTED_MODEL'],
    ['layer_replication', { layer_replication: [[0, 1]] }, '_UNSUPPORTED_MODEL'],
    ['lora_alpha', { lora_alpha: -1 }, '_INVALID_CONFIG'],
    ['rank_pattern', { rank_pattern: { '(': 2 } }, '_INVALID_CONFIG'],
  ])('%s, by name', async (key, config, code) => {
    const error = await refusal(writeAdapter(path.join(root, `refused-${key}`), some(query), 1, config))
    expect(error.code).toBe(`ERR_EMBEDCORE${code}`)
    expect(error.message).toContain(`"${key}"`)
  })

  test('heads that embeddings do not use are not a reason', async () => {
    const config = { modules_to_save: ['classifier', 'score'], task_type: 'SEQ_CLS' }
    await using model = await load(STACK)
    await model.loadAdapter(writeAdapter(path.join(root, 'heads'), some(query), 1, config))
  })

  test('files that are absent, cut, or of another model', async () => {
    expect((await refusal(path.join(root, 'nowhere'))).code).toBe('ERR_EMBEDCORE_NOT_FOUND')
    const other = writeAdapter(path.join(root, 'other'), new Map([['encoder.layer.7.output.dense', [16, 24]]]))
    expect(await refusal(other)).toMatchObject({
      code: 'ERR_EMBEDCORE_MISSING_TENSOR',
      message: expect.stringContaining('encoder.layer.7.output.dense') as string,
    })
    const wide = writeAdapter(path.join(root, 'wide'), new Map([[query, [16, 17]]]))
    expect((await refusal(wide)).code).toBe('ERR_EMBEDCORE_SHAPE_MISMATCH')
    const ranked = writeAdapter(path.join(root, 'ranked'), some(query), 1, { r: 4 })
    expect((await refusal(ranked)).message).toMatch(/Expected 4 rows/)
    const cut = writeAdapter(path.join(root, 'cut'), some(query))
    writeFileSync(path.join(cut, 'adapter_model.safetensors'), 'short')
    expect((await refusal(cut)).code).toBe('ERR_EMBEDCORE_INVALID_FILE')
    const nan = writeAdapter(path.join(root, 'nan'), some(query))
    const a = { shape: [3, 16], data: new Float32Array(48).fill(NaN) }
    const b = { shape: [16, 3], data: new Float32Array(48) }
    const name = `base_model.model.${query}`
    const file = path.join(nan, 'adapter_model.safetensors')
    writeSafetensors(file, { [`${name}.lora_A.weight`]: a, [`${name}.lora_B.weight`]: b })
    expect((await refusal(nan)).code).toBe('ERR_EMBEDCORE_NON_FINITE')
    writeSafetensors(file, { [`${name}.lora_A.weight`]: a })
    expect((await refusal(nan)).code).toBe('ERR_EMBEDCORE_MISSING_TENSOR')
    writeSafetensors(file, { [`${name}.lora_magnitude_vector`]: a })
    expect((await refusal(nan)).message).toMatch(/matrices in .* but found the tensor/)
  })

  test('a static model, a bare adapter as a model, wrong options', async () => {
    const table = await load(path.join(GOLDEN, 'stack/static'))
    const invalid = { code: 'ERR_EMBEDCORE_INVALID_OPTION' }
    await expect(table.loadAdapter(first)).rejects.toMatchObject(invalid)
    await expect(table.encode('a', { adapter: 'x' })).rejects.toMatchObject(invalid)
    await expect(load(path.join(GOLDEN, 'stack/static'), { adapter: first })).rejects.toMatchObject(invalid)
    await table.dispose()
    await expect(load(first)).rejects.toThrow(/Load the base model with the option adapter/)
    await using model = await load(STACK)
    await expect(model.loadAdapter('')).rejects.toMatchObject(invalid)
    await expect(model.loadAdapter(first, { nam: 'x' } as never)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_UNKNOWN_OPTION',
    })
  })
})

test('an operation with an adapter is divided among threads, with the same bits', async () => {
  const folder = makeModel(path.join(root, 'made'), { layers: 2 })
  const adapter = writeAdapter(path.join(root, 'made-adapter'), layerMatrices(native().parameters(folder)))
  const results: Float32Array[] = []
  for (const threads of [1, 3]) {
    await using model = await load(folder, { threads })
    await model.loadAdapter(adapter)
    results.push((await model.encode(['the red fox '.repeat(40), 'the fox'], { adapter: 'default' })).data)
  }
  expect(sameBits(results[0]!, results[1]!)).toBe(true)
})
