/** Results are data: structuredClone and postMessage copy them, and their methods need no `this`. */
import { MessageChannel } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { load, type Model, similarity } from '../../src/index.js'

let model: Model
beforeAll(async () => {
  model = await load()
})
afterAll(() => model.dispose())

const TEXTS = ['a red apple', 'tax law', '']

async function posted<T>(value: T): Promise<T> {
  const { port1, port2 } = new MessageChannel()
  try {
    return await new Promise<T>((resolve) => {
      port2.once('message', resolve)
      port1.postMessage(value)
    })
  } finally {
    port1.close()
  }
}

/** The data of a result, which a clone must have. */
function data(result: object): object {
  return Object.fromEntries(Object.entries(result))
}

describe.each([
  ['structuredClone', async <T>(value: T) => structuredClone(value)],
  ['postMessage', posted],
] as const)('%s', (_, copy) => {
  test.each(['float32', 'int8', 'uint8', 'binary', 'ubinary'] as const)('of %s vectors', async (precision) => {
    const ranges = precision.endsWith('int8') ? new Float32Array(512).fill(1, 256).fill(-1, 0, 256) : undefined
    const result = await model.encode(TEXTS, { precision, ...(ranges ? { ranges } : {}) })
    const clone = await copy(result)
    expect(data(clone)).toEqual(data(result))
    expect(Object.keys(clone).sort()).toEqual(
      [
        'data',
        'omittedTokens',
        'precision',
        'shape',
        'tokenCounts',
        'unknownTokens',
        ...(ranges ? ['ranges'] : []),
      ].sort(),
    )
    expect(clone.data.constructor).toBe(result.data.constructor)
  })

  test('of token vectors', async () => {
    const result = await model.encode(TEXTS, { output: 'token' })
    const clone = await copy(result)
    expect(data(clone)).toEqual(data(result))
    expect(clone).toMatchObject({ length: 3, shape: result.shape })
    expect(clone.ids).toEqual(result.ids)
    const one = await copy(result.text(0))
    expect(one).toMatchObject({ tokens: result.text(0).tokens, offsets: result.text(0).offsets })
  })

  test('of tokens without vectors', async () => {
    const result = await model.tokenize(TEXTS)
    expect(data(await copy(result))).toEqual(data(result))
  })

  test('of similarities', async () => {
    const rows = await model.encode(TEXTS)
    const result = await similarity(rows, rows)
    expect(data(await copy(result))).toEqual({ data: result.data, shape: [3, 3] })
  })

  test('a clone is as good as the result for similarity', async () => {
    const rows = await model.encode(TEXTS)
    const clone = await copy(rows)
    expect((await similarity(clone, clone)).data).toEqual((await similarity(rows, rows)).data)
  })
})

test('methods need no this and are not enumerable', async () => {
  const rows = await model.encode(TEXTS)
  const { row, tokenCounts } = rows
  expect(row(1)).toEqual(rows.row(1))
  expect(row(1).buffer).toBe(rows.data.buffer)
  expect(tokenCounts).toHaveLength(3)
  expect(Object.keys(rows)).not.toContain('row')
  expect([...rows]).toEqual([row(0), row(1), row(2)])
  const { text } = await model.encode(TEXTS, { output: 'token' })
  const first = text(0)
  const { row: wordRow } = first
  expect(wordRow(0)).toEqual(first.row(0))
})
