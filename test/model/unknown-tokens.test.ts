/** Tokens that the tokenizer does not know: counted for every text, with a warning if a text has no other. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { evaluate, load, type Model } from '../../src/index.js'
import { GOLDEN } from '../support/golden.js'

let bert: Model
let decoder: Model
beforeAll(async () => {
  ;[bert, decoder] = await Promise.all([
    load(path.join(GOLDEN, 'stack/mean-normalize')),
    load(path.join(GOLDEN, 'stack/decoder')),
  ])
})
afterAll(() => Promise.all([bert, decoder].map((model) => model.dispose())))

async function warningsOf(work: () => Promise<unknown>): Promise<{ message: string; code: string }[]> {
  const seen: { message: string; code: string }[] = []
  const spy = vi.spyOn(process, 'emitWarning').mockImplementation(((message: string, { code }: { code: string }) => {
    seen.push({ message, code })
  }) as never)
  try {
    await work()
    return seen
  } finally {
    spy.mockRestore()
  }
}

const UNKNOWN = '\u{13000}\u{13001}' // Egyptian hieroglyphs, which no vocabulary here has.

describe('unknownTokens', () => {
  test('counts each text, special tokens left out', async () => {
    const { unknownTokens, tokenCounts } = await bert.encode([
      'the',
      `the ${UNKNOWN}`,
      UNKNOWN,
      '',
      `${UNKNOWN} ${UNKNOWN}`,
    ])
    expect([...unknownTokens]).toEqual([0, 1, 1, 0, 2])
    expect(tokenCounts[2]).toBe(3)
  })

  test('is the same with token output and tokenize', async () => {
    const texts = ['the', `the ${UNKNOWN}`, UNKNOWN]
    expect([...(await bert.encode(texts, { output: 'token' })).unknownTokens]).toEqual([0, 1, 1])
    expect([...(await bert.tokenize(texts)).unknownTokens]).toEqual([0, 1, 1])
  })

  test('counts over the pieces of a long call', async () => {
    const texts = Array.from({ length: 3000 }, (_, i) => (i % 7 === 0 ? `the ${UNKNOWN}` : 'the'))
    const { unknownTokens } = await bert.encode(texts)
    expect([...unknownTokens]).toEqual(texts.map((_, i) => (i % 7 === 0 ? 1 : 0)))
  })

  test('does not count tokens that were cut, nor those of the prompt', async () => {
    const cut = await bert.encode([`the the ${UNKNOWN}`], { maxTokens: 4 })
    expect([...cut.unknownTokens]).toEqual([0])
    const prompted = await bert.encode(['the', UNKNOWN], { prompt: `${UNKNOWN} ` })
    expect([...prompted.unknownTokens]).toEqual([0, 1])
  })

  test('is yielded by encodeStream', async () => {
    const seen: number[] = []
    for await (const { unknownTokens } of bert.encodeStream(['the', `the ${UNKNOWN}`])) seen.push(unknownTokens)
    expect(seen).toEqual([0, 1])
  })

  test('is 0 where the tokenizer has no unknown token', async () => {
    expect([...(await decoder.encode(['the', UNKNOWN])).unknownTokens]).toEqual([0, 0])
  })
})

describe('the warning', () => {
  test('comes once per call, with the number of texts and the first of them', async () => {
    const texts = ['the', UNKNOWN, `the ${UNKNOWN}`, UNKNOWN]
    for (const options of [{}, { output: 'token' as const }, { prompt: 'the ' }]) {
      const warnings = await warningsOf(() => bert.encode(texts, options))
      expect(warnings).toEqual([
        { code: 'EMBEDCORE_UNKNOWN_TEXT', message: expect.stringMatching(/^2 of 4 texts .* \(the first is text 1\)/) },
      ])
    }
  })

  test('comes once per stream, with the number of the text in the stream', async () => {
    const warnings = await warningsOf(async () => {
      const texts = ['the', 'the', 'the', UNKNOWN, UNKNOWN, UNKNOWN]
      for await (const one of bert.encodeStream(texts, { batchSize: 2 })) void one
    })
    expect(warnings).toEqual([
      { code: 'EMBEDCORE_UNKNOWN_TEXT', message: expect.stringMatching(/^text 3 has only tokens/) },
    ])
  })

  test('comes once per evaluation', async () => {
    const data = Array.from({ length: 6 }, (_, i) => ({
      sentence1: 'the',
      sentence2: i < 2 ? 'the' : UNKNOWN,
      score: i,
    }))
    const warnings = await warningsOf(() => evaluate(bert, { task: 'sts', data }, { batchSize: 1 }))
    expect(warnings).toEqual([
      { code: 'EMBEDCORE_UNKNOWN_TEXT', message: expect.stringMatching(/^text 5 has only tokens/) },
    ])
  })

  test("does not come for the texts that dtype 'auto' measures with", async () => {
    const cache = await mkdtemp(path.join(tmpdir(), 'embedcore-unknown-'))
    vi.stubEnv('EMBEDCORE_CACHE', cache)
    try {
      const warnings = await warningsOf(async () => {
        const model = await load(path.join(GOLDEN, 'stack/mean-normalize'), { dtype: 'auto' })
        expect(model.info.dtypeChoice).toMatchObject({ remembered: false })
        await model.dispose()
      })
      expect(warnings).toEqual([])
    } finally {
      vi.unstubAllEnvs()
      await rm(cache, { recursive: true })
    }
  })

  test('names a single text', async () => {
    const [warning] = await warningsOf(() => bert.encode(UNKNOWN))
    expect(warning?.message).toMatch(/^text 0 has only tokens that the tokenizer of .* does not know: /)
  })

  test('does not come for texts that are known in part, or empty', async () => {
    expect(await warningsOf(() => bert.encode(['the', '', `the ${UNKNOWN}`]))).toEqual([])
    expect(await warningsOf(() => decoder.encode([UNKNOWN]))).toEqual([])
  })
})
