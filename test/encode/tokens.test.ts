/** Token output: its memory, and its size. Numbers are judged in test/parity. */
import path from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { load, type Model } from '../../src/index.js'
import * as memory from '../../src/core/memory.js'
import { GOLDEN } from '../support/golden.js'

vi.mock('../../src/core/memory.js', async (original) => {
  const module = await original<typeof memory>()
  return { ...module, allocate: vi.fn(module.allocate) }
})

let bert: Model
let words: Model
beforeAll(async () => {
  bert = await load(path.join(GOLDEN, 'stack/mean-normalize'))
  words = await load(path.join(GOLDEN, 'stack/static'))
})
afterAll(() => Promise.all([bert.dispose(), words.dispose()]))
afterEach(() => vi.unstubAllGlobals())

/** Every Float32Array of at least so many numbers that is constructed while `work` runs. */
async function constructed(atLeast: number, work: () => Promise<unknown>): Promise<Float32Array[]> {
  const arrays: Float32Array[] = []
  const original = Float32Array
  vi.stubGlobal(
    'Float32Array',
    new Proxy(original, {
      construct(target, args: unknown[]) {
        const array = Reflect.construct(target, args) as Float32Array
        // A view of a buffer takes no memory.
        if (!(args[0] instanceof ArrayBuffer) && array.length >= atLeast) arrays.push(array)
        return array
      },
    }),
  )
  await work()
  vi.stubGlobal('Float32Array', original)
  return arrays
}

test('rows are written into the one buffer of the result', async () => {
  const texts = Array.from({ length: 1500 }, (_, i) => `the quick brown fox and a small cup ${i}`)
  const count = (await bert.tokenize(texts)).ids.length
  const numbers = count * bert.info.hiddenSize
  vi.mocked(memory.allocate).mockClear()
  let data!: Float32Array
  const arrays = await constructed(numbers, async () => {
    const result = await bert.encode(texts, { output: 'token' })
    data = result.data
    // What the methods give are views.
    expect(result.text(700).data.buffer).toBe(data.buffer)
    expect(result.text(700).row(1).buffer).toBe(data.buffer)
  })
  expect(data).toHaveLength(numbers)
  expect(data.byteOffset).toBe(0)
  expect(data.buffer.byteLength).toBe(4 * numbers)
  const { calls, results } = vi.mocked(memory.allocate).mock
  const large = results.filter((_, i) => calls[i]![0] >= numbers).map(({ value }) => value as unknown)
  expect(large.length, 'one allocation, and the result is in it').toBe(1)
  expect(large[0] === data).toBe(true)
  expect(arrays.length).toBe(1)
  expect(arrays[0] === data).toBe(true)
})

test('a text of 100,000 tokens', async () => {
  const text = Array.from({ length: 100_000 }, (_, i) => ['red', 'fox', 'the', 'cup'][i % 4]).join(' ')
  const [long, short] = await Promise.all([
    words.encode([text, 'red fox the cup'], { output: 'token' }),
    words.encode('red fox the cup', { output: 'token' }),
  ])
  const tokens = long.tokenCounts[0]!
  expect(tokens).toBeGreaterThanOrEqual(100_000)
  expect(long.omittedTokens[0]).toBe(0)
  expect(long.shape).toEqual([tokens + short.shape[0], words.info.dimension])
  expect(long.data.buffer.byteLength).toBe(4 * long.shape[0] * words.info.dimension)
  expect(long.text(1).data).toEqual(short.data)
  const first = long.text(0)
  expect(first.offsets.at(-1)![1]).toBe(text.length)
  expect(text.slice(...first.offsets.at(-1)!)).toBe(short.text(0).tokens.at(-1)!.replace('##', ''))
})

test('texts of 100,000 tokens together, through several layers', { timeout: 120_000 }, async () => {
  const texts = Array.from({ length: 5000 }, (_, i) => `${'the red fox '.repeat(7)}${i}`)
  const { data, tokenCounts, shape, text } = await bert.encode(texts, { output: 'token' })
  expect(shape[0]).toBeGreaterThan(100_000)
  expect(tokenCounts.reduce((a, b) => a + b)).toBe(shape[0])
  expect(data.every(Number.isFinite)).toBe(true)
  for (const i of [0, 2500, 4999])
    expect(text(i).data).toEqual((await bert.encode(texts[i]!, { output: 'token' })).data)
})
