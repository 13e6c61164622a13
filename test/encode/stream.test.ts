/** encodeStream: order, bounded reading, slow sources, and leaving early. */
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { embedCore, type Model } from '../../src/index.js'
import { GOLDEN } from '../support/golden.js'

let model: Model
beforeAll(async () => {
  model = await embedCore.load(path.join(GOLDEN, 'stack/mean-normalize'))
})
afterAll(() => model.dispose())

const text = (i: number) => `text number ${i} ${'word '.repeat((i * 7) % 20)}`

it('gives what encode gives, in order', async () => {
  const texts = Array.from({ length: 1000 }, (_, i) => text(i))
  const whole = await model.encode(texts)
  let next = 0
  for await (const { index, text: given, vector, tokenCount, omittedTokens } of model.encodeStream(texts, {
    batchSize: 64,
  })) {
    expect(index).toBe(next)
    expect(given).toBe(texts[index])
    expect(Array.from(vector)).toEqual(Array.from(whole.row(index)))
    expect([tokenCount, omittedTokens]).toEqual([whole.tokenCounts[index], whole.omittedTokens[index]])
    next++
  }
  expect(next).toBe(1000)
})

it('reads a bounded number of texts ahead of its reader', async () => {
  let given = 0
  function* endless() {
    for (;;) yield text(given++)
  }
  let taken = 0
  for await (const { index } of model.encodeStream(endless(), { batchSize: 32 })) {
    expect(index).toBe(taken++)
    expect(given - taken).toBeLessThanOrEqual(3 * 32)
    if (taken === 500) break
  }
})

it('does not wait for a slow source to fill a batch', async () => {
  let release = () => {}
  async function* slow() {
    yield 'first'
    await new Promise<void>((resolve) => (release = resolve))
    yield 'second'
  }
  const stream = model.encodeStream(slow())
  expect((await stream.next()).value).toMatchObject({ index: 0, text: 'first' })
  const second = stream.next()
  await sleep(5)
  release()
  expect((await second).value).toMatchObject({ index: 1, text: 'second' })
  expect((await stream.next()).done).toBe(true)
})

it('closes the source when the loop is left', async () => {
  let closed = false
  async function* source() {
    try {
      for (let i = 0; ; i++) yield text(i)
    } finally {
      closed = true
    }
  }
  for await (const { index } of model.encodeStream(source())) if (index === 200) break
  expect(closed).toBe(true)
})

it('ends with the error of the source, of a text, or of the signal', async () => {
  const failure = new Error('the source broke')
  async function* broken() {
    yield 'one'
    throw failure
  }
  const run = async (stream: AsyncIterable<unknown>) => {
    let seen = 0
    for await (const _ of stream) seen++
    return seen
  }
  await expect(run(model.encodeStream(broken()))).rejects.toBe(failure)
  await expect(run(model.encodeStream(['a', 5 as never]))).rejects.toMatchObject({
    code: 'ERR_EMBEDCORE_INVALID_TEXT',
    message: expect.stringContaining('text 1') as string,
  })
  await expect(run(model.encodeStream(5 as never))).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_TEXT' })
  const stop = new AbortController()
  const texts = (function* () {
    for (let i = 0; ; i++) {
      if (i === 1000) stop.abort()
      yield text(i)
    }
  })()
  await expect(run(model.encodeStream(texts, { signal: stop.signal }))).rejects.toMatchObject({
    code: 'ERR_EMBEDCORE_ABORTED',
  })
})

it('checks its options, and wants ranges for int8', async () => {
  const first = (options: object) => model.encodeStream(['a', 'b'], options).next()
  await expect(first({ batchSize: 0 })).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_OPTION' })
  await expect(first({ output: 'token' })).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_OPTION' })
  await expect(first({ batchsize: 3 })).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_UNKNOWN_OPTION' })
  await expect(first({ precision: 'int8' })).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_NO_RANGES' })
  const ranges = await embedCore.quantizationRanges(await model.encode(['a', 'b', 'c']))
  const { value } = await model.encodeStream(['a'], { precision: 'int8', ranges }).next()
  expect(value?.vector).toBeInstanceOf(Int8Array)
})
