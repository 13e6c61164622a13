/** Reading the tokens of large texts leaves turns of the event loop to other work. Counts are compared, no times. */
import { setImmediate } from 'node:timers/promises'
import { Encoding } from 'tokenizers'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { load, type Model } from '../../src/index.js'

let model: Model
beforeAll(async () => {
  model = await load()
})
afterAll(() => model.dispose())
afterEach(() => vi.restoreAllMocks())

/** The lengths of the lists that the tokenizer library made in each turn of the event loop while `work` ran. */
async function listsPerTurn(method: 'getIds' | 'getOffsets', work: () => Promise<unknown>): Promise<number[]> {
  const turns: number[] = [0]

  const original = Encoding.prototype[method] as () => unknown[]
  vi.spyOn(Encoding.prototype, method).mockImplementation(function (this: Encoding) {
    const list = original.call(this)
    turns[turns.length - 1]! += list.length
    return list as never
  })
  let done = false
  const working = work().finally(() => (done = true))
  while (!done) {
    await setImmediate()
    // A busy machine makes hundreds of thousands of turns in which nothing is read.
    if (turns.at(-1) !== 0) turns.push(0)
  }
  await working
  return turns
}
const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0)

const one = ['many words '.repeat(50_000)]
const many = Array.from(
  { length: 4000 },
  (_, i) => `a text that has some twenty words and a number in it ${'so '.repeat(14)}${i}`,
)

test.each([
  ['one text of 100,000 tokens', one],
  ['4,000 texts of 100,000 tokens together', many],
])('%s: places in the text are read some thousands in a turn', async (_, texts) => {
  const turns = await listsPerTurn('getOffsets', () => model.tokenize(texts))
  expect(sum(turns)).toBeGreaterThan(100_000)
  // Two of the reader's turns may fall between two of the counter's.
  expect(Math.max(...turns)).toBeLessThanOrEqual(2 * 4096)
})

test.each([
  ['one text of 100,000 tokens', one],
  ['4,000 texts of 100,000 tokens together', many],
])('%s: ids are read some ten thousands in a turn', async (_, texts) => {
  const turns = await listsPerTurn('getIds', () => model.encode(texts))
  expect(sum(turns)).toBeGreaterThan(100_000)
  expect(Math.max(...turns)).toBeLessThanOrEqual(2 * (1 << 15))
})

test('a text read in parts has the tokens and places of the whole', async () => {
  const words = Array.from({ length: 30_000 }, (_, i) => ['red', '苹果', '😀', 'unwritten'][i % 4]!)
  const text = words.join(' ')
  const { tokens, offsets, ids } = (await model.tokenize(text)).text(0)
  expect(ids.length).toBeGreaterThan(30_000)
  // Another cut than that of the parts: half the words, and the same words again after them.
  const half = words.slice(0, 1777).join(' ')
  const short = (await model.tokenize(half)).text(0)
  expect(tokens.slice(0, short.tokens.length)).toEqual(short.tokens)
  expect(offsets.slice(0, short.offsets.length)).toEqual(short.offsets)
  let end = 0
  for (const [from, to] of offsets) {
    expect(from).toBeGreaterThanOrEqual(end)
    end = to
  }
  expect(end).toBe(text.length)
})

test.each(['left', 'right'] as const)('a cut from the %s reads the part that is kept', async (truncate) => {
  const words = Array.from({ length: 20_000 }, (_, i) => `word ${i % 977}`)
  const whole = await model.tokenize(words.join(' '))
  const cut = await model.tokenize(words.join(' '), { maxTokens: 6000, truncate })
  expect(cut.ids).toEqual(truncate === 'right' ? whole.ids.slice(0, 6000) : whole.ids.slice(-6000))
  expect(cut.charOffsets).toEqual(
    truncate === 'right' ? whole.charOffsets.slice(0, 12_000) : whole.charOffsets.slice(-12_000),
  )
  expect(cut.omittedTokens[0]).toBe(whole.ids.length - 6000)
})

test('a call is aborted between two turns', async () => {
  const stop = new AbortController()
  let lists = 0

  const original = Encoding.prototype.getOffsets
  vi.spyOn(Encoding.prototype, 'getOffsets').mockImplementation(function (this: Encoding) {
    if (++lists === 3) stop.abort()
    return original.call(this)
  })
  await expect(model.tokenize(one, { signal: stop.signal })).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
  expect(lists).toBe(3)
})
