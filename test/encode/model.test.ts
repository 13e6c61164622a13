/** encode() and related functions through the public API. Numbers are compared in test/parity. */
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { embedCore, type Model } from '../../src/index.js'
import { GOLDEN } from '../support/golden.js'

const STACK = path.join(GOLDEN, 'stack')
const failsWith = (code: string, message?: RegExp) =>
  expect.objectContaining({
    name: expect.any(String) as string,
    code,
    ...(message ? { message: expect.stringMatching(message) as string } : {}),
  }) as unknown
const same = (a: ArrayLike<number>, b: ArrayLike<number>) => expect(Array.from(a)).toEqual(Array.from(b))

let bert: Model
let decoder: Model
let words: Model
beforeAll(async () => {
  ;[bert, decoder, words] = await Promise.all([
    embedCore.load(path.join(STACK, 'mean-normalize')),
    embedCore.load(path.join(STACK, 'decoder')),
    embedCore.load(),
  ])
})
afterAll(() => Promise.all([bert, decoder, words].map((model) => model.dispose())))

describe('results', () => {
  it('gives one row for one text and the same row for it in a list', async () => {
    const one = await bert.encode('a small text')
    const many = await bert.encode(['another', 'a small text'])
    expect(one.shape).toEqual([1, bert.info.dimension])
    expect(many.shape).toEqual([2, bert.info.dimension])
    same(many.row(1), one.data)
    expect([...many].map((row) => row.length)).toEqual([bert.info.dimension, bert.info.dimension])
    expect(() => many.row(2)).toThrow(
      failsWith('ERR_EMBEDCORE_INVALID_OPTION', /^Expected an integer from 0 to 1 for row but received 2$/),
    )
  })

  it('keeps rows apart from what the caller does with the list afterwards', async () => {
    const texts = Array.from({ length: 700 }, (_, i) => `text number ${i}`)
    const expected = await words.encode(texts)
    const given = [...texts]
    const call = words.encode(given)
    given.fill('something else')
    same((await call).data, expected.data)
  })

  it('gives no rows for no texts, and a row for the empty text', async () => {
    for (const model of [bert, decoder, words]) {
      const none = await model.encode([])
      expect(none.shape).toEqual([0, model.info.dimension])
      expect(none.tokenCounts).toHaveLength(0)
      const empty = await model.encode(['', 'a', ''])
      expect(empty.shape).toEqual([3, model.info.dimension])
      same(empty.row(0), empty.row(2))
      expect(empty.data.every(Number.isFinite)).toBe(true)
    }
    expect(
      (await words.encode('')).data.every((value) => value === 0),
      'no tokens, no direction',
    ).toBe(true)
  })

  it('takes lone surrogates as U+FFFD', async () =>
    same((await bert.encode('a \ud800 b')).data, (await bert.encode('a \ufffd b')).data))

  it('says what was cut, from either end, or refuses', async () => {
    const long = 'one two three four five six seven eight nine ten'
    const whole = await bert.encode(long)
    const total = whole.tokenCounts[0]! + whole.omittedTokens[0]!
    for (const truncate of ['right', 'left', true] as const) {
      const cut = await bert.encode([long, 'one'], { maxTokens: 5, truncate })
      expect(cut.tokenCounts[0]).toBe(5)
      expect(cut.omittedTokens[0]).toBe(total - 5)
      expect(cut.omittedTokens[1]).toBe(Math.max(0, (await bert.encode('one')).tokenCounts[0]! - 5))
    }
    await expect(bert.encode(['a', long], { maxTokens: 5, truncate: false })).rejects.toEqual(
      failsWith('ERR_EMBEDCORE_TEXT_TOO_LONG', /^Expected at most 5 tokens for text 1 .* but received \d+: /),
    )
  })

  it('encodes a megabyte of text', { timeout: 60_000 }, async () => {
    const text = 'many words '.repeat(100_000)
    const cut = await bert.encode([text, 'short'])
    expect(cut.tokenCounts[0]).toBe(bert.info.maxTokens)
    expect(cut.omittedTokens[0]).toBeGreaterThan(100_000)
    same(cut.row(1), (await bert.encode('short')).data)
    expect((await words.encode(text)).tokenCounts[0]).toBe(200_001) // The space at the end is a piece too.
  })

  it('gives token vectors with their places in the text', async () => {
    const text = 'Hello wörld 😀 again'
    const result = await bert.encode([text, 'b'], { output: 'token' })
    const first = result.text(0)
    expect(result.shape).toEqual([result.tokenCounts[0]! + result.tokenCounts[1]!, bert.info.hiddenSize])
    expect(first.tokens).toHaveLength(first.shape[0])
    expect(first.offsets[0]).toEqual([0, 0])
    const pieces = first.offsets.map(([from, to]) => text.slice(from, to)).filter((piece) => piece !== '')
    expect(pieces.join('')).toBe(text.replaceAll(' ', ''))
    same(result.text(1).data, (await bert.encode('b', { output: 'token' })).data)
  })

  it('cuts dimensions and normalises again', async () => {
    const whole = await bert.encode('a small text')
    const cut = await bert.encode('a small text', { dimensions: 5 })
    const length = Math.hypot(...whole.data.subarray(0, 5))
    expect(cut.shape).toEqual([1, 5])
    for (let i = 0; i < 5; i++) expect(cut.data[i]).toBeCloseTo(whole.data[i]! / length, 6) // float32 rounding
    const raw = await bert.encode('a small text', { normalize: false })
    expect(Math.hypot(...raw.data)).not.toBeCloseTo(1, 3)
  })

  it('joins layers and poolings', async () => {
    const width = bert.info.hiddenSize
    const layers = bert.info.layers
    const options = { pooling: ['cls', 'max'], normalize: false } as const
    const both = await bert.encode('a small text', options)
    expect(both.shape).toEqual([1, 2 * width])
    same(both.data.subarray(0, width), (await bert.encode('a small text', { pooling: 'cls', normalize: false })).data)
    const concat = await bert.encode('a small text', { layers: [0, -1], layerFusion: 'concat', normalize: false })
    expect(concat.shape).toEqual([1, 2 * width])
    same(concat.data.subarray(width), (await bert.encode('a small text', { layers, normalize: false })).data)
    const mean = await bert.encode('a small text', { layers: `0-${layers}`, normalize: false })
    const parts = await Promise.all(
      Array.from({ length: layers + 1 }, (_, layer) =>
        bert.encode('a small text', { layers: layer, normalize: false }),
      ),
    )
    for (let i = 0; i < width; i++) {
      const sum = parts.reduce((total, part) => total + part.data[i]!, 0)
      expect(mean.data[i]).toBeCloseTo(sum / parts.length, 5) // float32 rounding
    }
  })

  it('puts prompts before texts', async () => {
    const model = await embedCore.load(path.join(STACK, 'prompts'))
    const query = model.info.prompts.query!
    expect(query).not.toBe('')
    same((await model.encodeQuery('red shoes')).data, (await model.encode('red shoes', { prompt: query })).data)
    same((await model.encodeQuery('red shoes')).data, (await model.encode('red shoes', { promptName: 'query' })).data)
    same(
      (await model.encodeQuery('red shoes', { prompt: '' })).data,
      (await model.encode('red shoes', { prompt: '' })).data,
    )
    same(
      (await model.encodeDocument('red shoes')).data,
      (await model.encode('red shoes', { promptName: 'document' })).data,
    )
    await model.dispose()
  })
})

describe('quantised results', () => {
  const texts = Array.from({ length: 120 }, (_, i) => `sample text ${i}`)

  it('fits the ranges given, or those of the call', async () => {
    const plain = await words.encode(texts)
    const ranges = await embedCore.quantizationRanges(plain)
    expect(ranges).toHaveLength(2 * words.info.dimension)
    for (const precision of ['int8', 'uint8'] as const) {
      const own = await words.encode(texts, { precision })
      same(own.ranges!, ranges)
      same((await words.encode(texts[7]!, { precision, ranges })).data, own.row(7))
      expect([Math.min(...own.data), Math.max(...own.data)]).toEqual(precision === 'int8' ? [-128, 127] : [0, 255])
    }
    await expect(words.encode('one', { precision: 'int8' })).rejects.toEqual(failsWith('ERR_EMBEDCORE_NO_RANGES'))
    await expect(words.encode(texts, { precision: 'int8', ranges: ranges.slice(2) })).rejects.toEqual(
      failsWith('ERR_EMBEDCORE_INVALID_OPTION', /ranges/),
    )
  })

  it('packs signs into bits', async () => {
    const plain = await words.encode(texts)
    const bits = await words.encode(texts, { precision: 'ubinary' })
    expect(bits.shape).toEqual([texts.length, words.info.dimension / 8])
    for (let d = 0; d < words.info.dimension; d++)
      expect((bits.row(3)[d >> 3]! >> (7 - (d & 7))) & 1, `dimension ${d}`).toBe(plain.row(3)[d]! > 0 ? 1 : 0)
    same(
      (await words.encode(texts, { precision: 'binary' })).data,
      Array.from(bits.data, (byte) => byte - 128),
    )
  })
})

describe('similarity', () => {
  it('compares rows by the four measures', async () => {
    const a = Float32Array.of(1, 0, 0, 2)
    const b = Float32Array.of(1, 1)
    const of = async (metric: 'cosine' | 'dot' | 'euclidean' | 'manhattan') =>
      Array.from((await embedCore.similarity(a, b, { metric, dimension: 2 })).data)
    expect(await of('dot')).toEqual([1, 2])
    expect(await of('manhattan')).toEqual([-1, -2])
    expect(await of('euclidean')).toEqual([-1, -Math.fround(Math.sqrt(2))])
    for (const value of await of('cosine')) expect(value).toBeCloseTo(Math.SQRT1_2, 6) // float32 rounding
  })

  it('takes the measure of the model and results of encode', async () => {
    const a = await words.encode(['doctor', 'physician', 'tractor'])
    const { data, shape, row } = await words.similarity(a, a)
    expect(shape).toEqual([3, 3])
    expect(data[1]).toBeGreaterThan(data[2]!)
    same(row(0), data.subarray(0, 3))
  })

  it('refuses what does not fit', async () => {
    const a = await words.encode('king')
    await expect(words.similarity(a, new Float32Array(3))).rejects.toEqual(failsWith('ERR_EMBEDCORE_SHAPE_MISMATCH'))
    await expect(words.similarity(a, (await words.encode('king', { precision: 'binary' })) as never)).rejects.toEqual(
      failsWith('ERR_EMBEDCORE_INVALID_OPTION', /for b but received an Int8Array of/),
    )
    await expect(embedCore.similarity(new Float32Array(4), new Float32Array(4))).rejects.toEqual(
      failsWith('ERR_EMBEDCORE_INVALID_OPTION', /dimension/),
    )
    await expect(
      embedCore.similarity(new Float32Array(100_000), new Float32Array(100_000), { dimension: 1 }),
    ).rejects.toEqual(failsWith('ERR_EMBEDCORE_OUT_OF_MEMORY', /10000000000 numbers/))
    await expect(words.similarity(a, a, { metric: 'cos' as never })).rejects.toEqual(
      failsWith('ERR_EMBEDCORE_INVALID_OPTION'),
    )
  })
})

describe('refusals', () => {
  it.each([
    [{ poling: 'mean' }, 'ERR_EMBEDCORE_UNKNOWN_OPTION', /did you mean "pooling"/],
    [{ pooling: 'average' }, 'ERR_EMBEDCORE_INVALID_OPTION', /'mean'.*"average"/],
    [{ maxTokens: 1_000_000 }, 'ERR_EMBEDCORE_INVALID_OPTION', /maxTokens/],
    [{ dimensions: 1_000_000 }, 'ERR_EMBEDCORE_INVALID_OPTION', /1000000/],
    [{ layers: 99 }, 'ERR_EMBEDCORE_INVALID_OPTION', /99/],
    [{ promptName: 'nobody' }, 'ERR_EMBEDCORE_INVALID_OPTION', /nobody/],
    [{ attention: 'prefix', prefixTokens: [1, 2] }, 'ERR_EMBEDCORE_INVALID_OPTION', /prefixTokens/],
    [
      {
        onProgress: () => {
          throw new Error('mine')
        },
      },
      'ERR_EMBEDCORE_INVALID_OPTION',
      /mine/,
    ],
  ])('%o', async (options, code, message) => {
    const failure = (await bert.encode('a', options as object).catch((error: unknown) => error)) as Error
    expect(failure).toEqual(failsWith(code, message))
    expect(failure.stack, 'the caller is in the stack').toContain('model.test.ts')
  })

  it.each([[undefined], [null], [5], [['a', 5]], [['a', undefined]], [{}], [new Uint8Array(3)]])(
    'texts %o',
    async (texts) => {
      await expect(bert.encode(texts as never)).rejects.toEqual(failsWith('ERR_EMBEDCORE_INVALID_TEXT'))
    },
  )

  it('of a disposed model', async () => {
    const model = await embedCore.load(path.join(STACK, 'mean-normalize'), { threads: 1 })
    const call = model.encode(Array.from({ length: 4000 }, (_, i) => `words to be encoded ${i}`))
    // Watched from the start, because it may fail before the last dispose() is done.
    const failed = expect(call).rejects.toEqual(failsWith('ERR_EMBEDCORE_DISPOSED'))
    await model.dispose()
    await model.dispose()
    await failed
    await expect(model.encode('a')).rejects.toEqual(failsWith('ERR_EMBEDCORE_DISPOSED', /mean-normalize/))
    expect(() => model.encodeStream(['a'])).toThrow(failsWith('ERR_EMBEDCORE_DISPOSED') as Error)
    expect(model.info.family, 'info stays').toBe('bert')
  })

  it('of a full queue, and takes calls again when it is empty', async () => {
    const model = await embedCore.load(path.join(STACK, 'mean-normalize'), { threads: 1, maxQueueTokens: 600 })
    const calls = await Promise.allSettled(
      Array.from({ length: 40 }, (_, i) =>
        model.encode(Array.from({ length: 30 }, (_, k) => `a number of words ${i} ${k}`)),
      ),
    )
    const refused = calls.filter((call) => call.status === 'rejected')
    expect(refused.length).toBeGreaterThan(0)
    expect(refused.length).toBeLessThan(40)
    for (const { reason } of refused)
      expect(reason).toEqual(failsWith('ERR_EMBEDCORE_QUEUE_FULL', /maxQueueTokens is 600/))
    expect((await model.encode('again')).shape[0]).toBe(1)
    await model.dispose()
  })
})

describe('signals and progress', () => {
  it('stops between layers and says why', async () => {
    const stop = new AbortController()
    const why = new Error('enough')
    const texts = Array.from({ length: 20_000 }, (_, i) => `some words to encode ${i}`)
    const call = bert.encode(texts, { signal: stop.signal })
    setTimeout(() => stop.abort(why), 20)
    await expect(call).rejects.toEqual(
      expect.objectContaining({ name: 'AbortError', code: 'ERR_EMBEDCORE_ABORTED', cause: why }),
    )
    await expect(bert.encode('a', { signal: AbortSignal.abort(why) })).rejects.toEqual(
      failsWith('ERR_EMBEDCORE_ABORTED'),
    )
    expect((await bert.encode('a')).shape[0]).toBe(1)
  })

  it('counts texts and tokens up to the end', async () => {
    const seen: { done: number; total: number; tokens: number }[] = []
    const texts = Array.from({ length: 1500 }, (_, i) => `text ${i}`)
    const { tokenCounts } = await words.encode(texts, { onProgress: (progress) => seen.push(progress) })
    expect(seen.length).toBeGreaterThan(2)
    expect(seen.every((progress, i) => progress.total === 1500 && (i === 0 || progress.done > seen[i - 1]!.done))).toBe(
      true,
    )
    expect(seen.at(-1)).toEqual({ done: 1500, total: 1500, tokens: tokenCounts.reduce((a, b) => a + b) })
  })

  it('leaves the event loop free', async () => {
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    await bert.encode(Array.from({ length: 3000 }, (_, i) => `some words to encode ${i}`))
    clearInterval(timer)
    expect(turns).toBeGreaterThan(3)
  })
})

describe('the model that comes with the package', () => {
  it('is used without a name', async () => {
    const { data, shape } = await embedCore.encode(['a text', 'another'])
    expect(shape).toEqual([2, 256])
    same(data, (await words.encode(['a text', 'another'])).data)
  })
})

describe('files', () => {
  it('two models of the same files share them, changed files do not', async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'embedcore-'))
    try {
      await cp(path.join(STACK, 'mean-normalize'), directory, { recursive: true })
      const one = await embedCore.load(directory)
      const two = await embedCore.load(directory)
      same((await one.encode('a')).data, (await two.encode('a')).data)
      await one.dispose()
      expect((await two.encode('a')).shape[0], 'disposing one leaves the other').toBe(1)
      await cp(path.join(STACK, 'max-dense-identity'), directory, { recursive: true, force: true })
      const three = await embedCore.load(directory)
      expect((await three.encode('a')).data).not.toEqual((await two.encode('a')).data)
      await Promise.all([two.dispose(), three.dispose()])
    } finally {
      await rm(directory, { recursive: true })
    }
  })

  it('says where there is no model', async () => {
    await expect(embedCore.load('./no-such-directory')).rejects.toEqual(
      failsWith('ERR_EMBEDCORE_NOT_FOUND', /no-such-directory/),
    )
    await expect(embedCore.load(STACK, { thread: 2 } as never)).rejects.toEqual(
      failsWith('ERR_EMBEDCORE_UNKNOWN_OPTION', /did you mean "threads"/),
    )
  })
})
