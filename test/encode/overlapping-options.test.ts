/**
 * Simultaneous calls with different options give the same results as each alone, to the last bit: no two of them share
 * arithmetic. Every golden model, hundreds of calls in a seeded order.
 */
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type EncodeOptions,
  load,
  type Model,
  type Precision,
  type SentenceEmbeddings,
  type TokenEmbeddings,
} from '../../src/index.js'
import { GOLDEN } from '../support/golden.js'

const STACKS = path.join(GOLDEN, 'stack')
const CALLS = 300

const OPTIONS: EncodeOptions[] = [
  {},
  { layers: [1, 2] },
  { layers: 1 },
  { layers: [0, -1], layerFusion: 'concat' },
  { layers: [0, -1], layerFusion: 'mean' },
  { pooling: 'cls' },
  { pooling: 'max' },
  { pooling: ['mean', 'lasttoken'] },
  { attention: 'causal' },
  { attention: 'bidirectional' },
  { attention: ['causal', 'bidirectional'] },
  { attention: 'prefix', prefixTokens: 1 },
  { attention: 'prefix', prefixTokens: 3 },
  { normalize: true },
  { normalize: false },
  { dimensions: 5 },
  { dimensions: 5, normalize: false },
  { prompt: 'the red ' },
  { maxTokens: 5 },
  { output: 'token' },
  { output: 'token', prompt: 'the red ' },
  { output: 'token', layers: [1] },
  { output: 'token', attention: 'causal' },
  { output: 'token', normalize: true },
]
const TEXTS = [
  ['the quick brown fox', 'phone', '', 'a small cup and two boxes of tea'],
  ['one'],
  ['a small cup and two boxes of tea, and then some more of everything that is there', 'x'],
]

/** Numbers from 0 to n - 1 in an order that only the seed decides. */
function seeded(seed: number): (n: number) => number {
  let state = seed
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * n)
  }
}

const bytes = (array: ArrayBufferView) =>
  Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString('base64')
type Result = SentenceEmbeddings<Precision> | TokenEmbeddings
const print = (result: Result) =>
  [
    result.shape.join(' x '),
    bytes(result.data),
    bytes(result.tokenCounts),
    bytes(result.omittedTokens),
    ...('ids' in result ? [bytes(result.ids), bytes(result.charOffsets)] : []),
  ].join(' | ')

describe.each(readdirSync(STACKS).filter((name) => !name.startsWith('refused-')))('%s', (name) => {
  let model: Model
  beforeAll(async () => {
    model = await load(path.join(STACKS, name), { threads: 3 })
  })
  afterAll(() => model.dispose())

  test('any options at once', async () => {
    const cases: { texts: string[]; options: EncodeOptions; alone: string }[] = []
    const refused: EncodeOptions[] = []
    for (const options of OPTIONS) {
      for (const texts of TEXTS) {
        try {
          cases.push({ texts, options, alone: print(await model.encode(texts, options)) })
        } catch (error) {
          // Heads of a fixed width, and static models without layers, do not take all of these.
          expect((error as { code: string }).code).toMatch(/_(INVALID_OPTION|SHAPE_MISMATCH)$/)
          refused.push(options)
        }
      }
    }
    // Some options have no effect on purpose; most change the numbers.
    const ofKind = model.info.kind === 'static' ? 5 : 12
    expect(
      new Set(cases.map(({ options }) => JSON.stringify(options))).size,
      JSON.stringify(refused),
    ).toBeGreaterThanOrEqual(ofKind)
    expect(new Set(cases.map(({ alone }) => alone)).size).toBeGreaterThanOrEqual(ofKind)

    const next = seeded(11)
    const calls = Array.from({ length: CALLS }, () => cases[next(cases.length)]!)
    const wrong: string[] = []
    await Promise.all(
      calls.map(async ({ texts, options, alone }) => {
        if (print(await model.encode(texts, options)) !== alone) wrong.push(JSON.stringify(options))
      }),
    )
    expect(wrong).toEqual([])
  })
})
