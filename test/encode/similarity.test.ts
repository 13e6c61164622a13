/** similarity as work of its own: abortable, the same for any cut, on copies of what callers hold. */
import { setImmediate } from 'node:timers/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { similarity, type SimilarityOptions } from '../../src/index.js'
import { native } from '../../src/core/native.js'
import { sameBits } from '../support/golden.js'

const DIMENSION = 64
const METRICS = ['cosine', 'dot', 'euclidean', 'manhattan'] as const
const vectors = (rows: number, seed = 1) =>
  Float32Array.from({ length: rows * DIMENSION }, (_, i) => Math.sin(seed + i * 0.7) + 0.1 * Math.cos(i * seed))
const many = [vectors(64_000), vectors(24_000, 2)] as const
const compare = (a: Float32Array, b: Float32Array, options: SimilarityOptions = {}) =>
  similarity(a, b, { dimension: DIMENSION, ...options })
afterEach(() => vi.restoreAllMocks())

describe('a signal', () => {
  test('before the call', async () => {
    const begun = vi.spyOn(native(), 'similarity')
    const why = new Error('not wanted')
    await expect(compare(vectors(3), vectors(3), { signal: AbortSignal.abort(why) })).rejects.toMatchObject({
      name: 'AbortError',
      code: 'ERR_EMBEDCORE_ABORTED',
      cause: why,
    })
    expect(begun).not.toHaveBeenCalled()
  })

  test('while the vectors are copied', async () => {
    const begun = vi.spyOn(native(), 'similarity')
    const stop = new AbortController()
    const large = new Float32Array(1 << 23)
    const call = similarity(large, Float32Array.of(1), { dimension: 1, signal: stop.signal })
    await setImmediate()
    stop.abort()
    await expect(call).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
    expect(begun, 'nothing is compared').not.toHaveBeenCalled()
  })

  test.each(METRICS)('while the workers compare: no more slices are begun (%s)', async (metric) => {
    const stop = new AbortController()
    let out!: Float32Array
    const original = native().similarity
    vi.spyOn(native(), 'similarity').mockImplementation((a, b, dimension, kind, data, done) => {
      out = data.fill(NaN)
      const task = original(a, b, dimension, kind, data, done)
      void setImmediate().then(() => stop.abort())
      return task
    })
    // 8,000 x 3,000 vectors of 512 numbers: some fifty slices.
    const given = { dimension: 512, metric, signal: stop.signal }
    const failure = (await compare(...many, given).catch((error: unknown) => error)) as Error
    expect(failure).toMatchObject({ name: 'AbortError', code: 'ERR_EMBEDCORE_ABORTED' })
    expect(failure.stack).toContain('similarity.test.ts')
    const empty = () => {
      let count = 0
      for (const value of out) if (Number.isNaN(value)) count++
      return count
    }
    const left = empty()
    expect(left).toBeGreaterThan(0)
    await setImmediate()
    expect(empty(), 'nothing is written after the rejection').toBe(left)
  })

  test('after the call', async () => {
    const stop = new AbortController()
    const { data } = await compare(vectors(3), vectors(2), { signal: stop.signal })
    const before = Float32Array.from(data)
    stop.abort()
    await setImmediate()
    expect(data).toEqual(before)
  })

  test('leaves no listener behind', async () => {
    const { signal } = new AbortController()
    const added = vi.spyOn(signal, 'addEventListener')
    const removed = vi.spyOn(signal, 'removeEventListener')
    await compare(vectors(3), vectors(2), { signal })
    expect(removed.mock.calls.length).toBe(added.mock.calls.length)
  })
})

describe('slices', () => {
  /** Rows of a and b around the ends of slices (2,048 and 256 rows). */
  test.each(METRICS)('give what rows give alone, to the last bit (%s)', async (metric) => {
    const a = vectors(2051)
    const b = vectors(515, 2)
    const { data, shape } = await compare(a, b, { metric })
    expect(shape).toEqual([2051, 515])
    const rows = [0, 1, 7, 1023, 2047, 2048, 2050]
    for (const i of rows) {
      const alone = await compare(a.subarray(i * DIMENSION, (i + 1) * DIMENSION), b, { metric })
      expect(sameBits(alone.data, data.subarray(i * 515, (i + 1) * 515))).toBe(true)
    }
    for (const j of [0, 255, 256, 511, 514]) {
      const alone = await compare(a, b.subarray(j * DIMENSION, (j + 1) * DIMENSION), { metric })
      expect(alone.data).toEqual(Float32Array.from({ length: 2051 }, (_, i) => data[i * 515 + j]!))
    }
  })

  test('of many calls at once do not mix', async () => {
    const calls = Array.from({ length: 40 }, (_, i) => [vectors(300 + i, i), vectors(260 + i, i + 1)] as const)
    const alone: Float32Array[] = []
    for (const [a, b] of calls) alone.push((await compare(a, b, { metric: 'dot' })).data)
    const together = await Promise.all(calls.map(([a, b]) => compare(a, b, { metric: 'dot' })))
    for (const [i, { data }] of together.entries()) expect(sameBits(data, alone[i]!)).toBe(true)
  })
})

describe('the caller', () => {
  test('may change the vectors after the call', async () => {
    for (const rows of [10, 40_000]) {
      const a = vectors(rows)
      const b = vectors(5, 2)
      const expected = (await compare(a, b)).data
      let begin = () => {}
      const begun = new Promise<void>((resolve) => (begin = resolve))
      const original = native().similarity
      vi.spyOn(native(), 'similarity').mockImplementation((...given) => {
        begin()
        return original(...given)
      })
      const call = compare(a, b)
      // A large one is copied over several turns, and may be changed when its copy is complete.
      await begun
      a.fill(0)
      b.fill(0)
      structuredClone(a.buffer, { transfer: [a.buffer] })
      expect(sameBits((await call).data, expected)).toBe(true)
      vi.restoreAllMocks()
    }
  })

  test('may change small ones in the very turn of the call', async () => {
    const a = vectors(10)
    const expected = (await compare(a, a)).data
    const call = compare(a, a)
    a.fill(0)
    expect((await call).data).toEqual(expected)
  })

  test('who transfers vectors that are being copied gets an error with a code', async () => {
    const a = vectors(40_000)
    const call = compare(a, vectors(5))
    structuredClone(a.buffer, { transfer: [a.buffer] })
    await expect(call).rejects.toMatchObject({
      name: 'EmbedCoreError',
      code: 'ERR_EMBEDCORE_INVALID_OPTION',
      message: expect.stringContaining('transferred') as string,
    })
    expect((await compare(vectors(2), vectors(2))).shape).toEqual([2, 2])
  })
})
