/** maxQueueTokens refuses whole calls and never a part of one: an admitted call is finished. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { load, type Model } from '../../src/index.js'
import { sameBits } from '../support/golden.js'
import { makeModel } from '../support/made-model.mjs'

const LIMIT = 3000
let folder: string
let model: Model
let expected: Float32Array
const texts = Array.from({ length: 1200 }, (_, i) => `a small cup ${i}`)
const others = Array.from({ length: 60 }, (_, i) =>
  Array.from({ length: 32 }, (_, k) => `the quick brown fox ${i} ${k}`),
)
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'embedcore-queue-'))
  const directory = makeModel(folder, { layers: 1 })
  const unlimited = await load(directory)
  expected = (await unlimited.encode(texts)).data
  await unlimited.dispose()
  model = await load(directory, { maxQueueTokens: LIMIT, threads: 1 })
})
afterAll(async () => {
  await model.dispose()
  rmSync(folder, { recursive: true })
})

test('a lone call is not refused, however long it is', async () => {
  const { data, tokenCounts } = await model.encode(texts)
  expect(tokenCounts.reduce((a, b) => a + b)).toBeGreaterThan(2 * LIMIT)
  expect(sameBits(data, expected)).toBe(true)
})

test('a lone call of one text longer than the limit is not refused', async () => {
  const strict = await load(folder, { maxQueueTokens: 100 })
  const { tokenCounts } = await strict.encode('the quick brown fox '.repeat(80))
  expect(tokenCounts[0]).toBeGreaterThan(300)
  await strict.dispose()
})

test('a long call that has begun is finished while new calls are refused', async () => {
  let begin = () => {}
  const begun = new Promise<void>((resolve) => (begin = resolve))
  const long = model.encode(texts, { onProgress: () => begin() })
  await begun
  const results = await Promise.allSettled(others.map((call) => model.encode(call)))
  const refused = results.filter((result) => result.status === 'rejected')
  expect(refused.length, 'the queue was full').toBeGreaterThan(0)
  for (const { reason } of refused) expect(reason).toMatchObject({ code: 'ERR_EMBEDCORE_QUEUE_FULL' })
  expect(sameBits((await long).data, expected)).toBe(true)

  // Nothing is lost: calls that were not refused have the right results, and the refused ones succeed later.
  for (const [i, call] of others.entries()) {
    const again = await model.encode(call)
    const result = results[i]!
    if (result.status === 'fulfilled') expect(sameBits(result.value.data, again.data)).toBe(true)
  }
})

test('of long calls that begin together each is refused at its first texts, or finished', async () => {
  const done = [0, 0, 0]
  const calls = done.map((_, i) => model.encode(texts, { onProgress: (progress) => (done[i] = progress.done) }))
  const results = await Promise.allSettled(calls)
  for (const [i, result] of results.entries()) {
    if (result.status === 'fulfilled') expect(sameBits(result.value.data, expected)).toBe(true)
    else {
      expect(result.reason).toMatchObject({ code: 'ERR_EMBEDCORE_QUEUE_FULL' })
      expect(done[i], 'no work is lost').toBe(0)
    }
  }
  expect(results.some(({ status }) => status === 'fulfilled')).toBe(true)
})
