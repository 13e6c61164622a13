/** What the fits refuse, with codes and the wrong value in the sentence. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type Encoder, fitAllButTheTop, fitPca, fitProcrustes, fitWhitening, LinearTransform } from '../../src/index.js'
import { rowsFrom } from './rows.js'

const scratch = mkdtempSync(path.join(tmpdir(), 'embedcore-linear-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))
function file(name: string, content: string): string {
  writeFileSync(path.join(scratch, name), content)
  return path.join(scratch, name)
}

/** Rows without a linear relation. */
const rows = (count: number, width: number) =>
  rowsFrom(
    Array.from({ length: count }, (_, i) => Array.from({ length: width }, (_row, d) => Math.sin(1 + i * i * (d + 2)))),
  )
const encoder: Encoder = {
  encode: async (texts) =>
    rowsFrom(texts.map((text) => Array.from({ length: 4 }, (_, d) => Math.sin([...text].length * (d + 2) ** 2 + d)))),
}

describe('rank', () => {
  test('a covariance of lower rank is refused with the rank', async () => {
    await expect(fitWhitening(rows(6, 9))).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_DATA',
      message:
        'Expected more than 9 vectors for whitening in all of their 9 dimensions but found 6, whose covariance has ' +
        'the rank 5; give dimensions: 5 or fewer, more texts, or a ridge',
    })
    await expect(fitWhitening(rows(6, 9), { dimensions: 7 })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_DATA',
      message:
        'Expected vectors whose covariance has the rank 7 or more but found the rank 5 (6 vectors of 9 numbers); ' +
        'give dimensions: 5 or fewer, more texts, or a ridge',
    })
    expect(await fitWhitening(rows(6, 9), { dimensions: 5 })).toMatchObject({ outFeatures: 5, rank: 5 })
  })

  test('a ridge makes up for it', async () => {
    const found = await fitWhitening(rows(6, 9), { ridge: 0.01 })
    expect(found.outFeatures).toBe(9)
    expect(found.weight.every(Number.isFinite)).toBe(true)
  })

  test('a dimension that is the sum of two others counts as none, in spite of rounding', async () => {
    const { data } = rows(40, 3)
    const dependent = rowsFrom(
      Array.from({ length: 40 }, (_, i) => {
        const [a, b, c] = data.subarray(3 * i, 3 * i + 3)
        return [a!, b!, c!, Math.fround(a! + b!)]
      }),
    )
    expect(await fitWhitening(dependent)).toMatchObject({ outFeatures: 3, rank: 3 })
    await expect(fitWhitening(dependent, { dimensions: 4 })).rejects.toThrow(/found the rank 3 \(40 vectors of 4/)
  })

  test('PCA gives zeros in further dimensions', async () => {
    const pca = await fitPca(rows(4, 9), { normalize: false })
    const { data } = await pca.apply(rows(4, 9))
    for (let i = 0; i < 4; i++)
      // 9 products of float32 numbers about 1.
      for (let d = 3; d < 9; d++) expect(Math.abs(data[i * 9 + d]!)).toBeLessThan(1e-5)
  })

  test('no more pairs than dimensions are refused', async () => {
    await expect(fitProcrustes(rows(8, 9), rows(8, 12), { heldOut: 0 })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_DATA',
      message:
        'Expected more than 9 pairs to fit a map of vectors of 9 and 12 numbers to but found 8, whose rank is 7 at ' +
        'most',
    })
    const same = rowsFrom(Array.from({ length: 30 }, () => [1, 2]))
    await expect(fitProcrustes(same, rows(30, 2))).rejects.toThrow(/^Expected vectors that vary together but found the/)
  })

  test('a direction without variance is mapped to 0', async () => {
    const flat = rows(40, 4)
    for (let i = 0; i < 40; i++) flat.data[4 * i + 3] = 7
    const map = await fitProcrustes(flat, rows(40, 5), { normalize: false })
    expect(map.rank).toBe(3)
    for (let k = 0; k < 5; k++) expect(Math.abs(map.weight[4 * k + 3]!)).toBeLessThan(1e-6) // float32
  })
})

describe('data', () => {
  test.each([
    ['no vectors', [], /^Expected 2 vectors or more but found 0$/, 'INVALID_DATA'],
    ['one vector', [rows(1, 3)], /but found 1$/, 'INVALID_DATA'],
    [
      'one vector again',
      rowsFrom([
        [1, 2],
        [1, 2],
        [1, 2],
      ]),
      /^Expected vectors that differ but found 3 that/,
      'INVALID_DATA',
    ],
    [
      'two widths',
      [rows(2, 3), rows(2, 4)],
      /^Expected vectors of 3 numbers but received vectors of 4$/,
      'SHAPE_MISMATCH',
    ],
    [
      'a wrong shape',
      { data: new Float32Array(5), shape: [2, 3] },
      /^Expected 2 x 3 numbers for vectors but received 5$/,
      'SHAPE_MISMATCH',
    ],
    ['vectors too long', rows(2, 4097), /at most 4096 numbers but received vectors of 4097/, 'SHAPE_MISMATCH'],
    [
      'other arrays',
      { data: [1, 2], shape: [1, 2] },
      /^Expected float32 vectors with a shape, as encode returns, for vectors/,
      'INVALID_OPTION',
    ],
    [
      'a number',
      5,
      /^Expected float32 vectors with a shape, as encode returns, for the vectors but received 5$/,
      'INVALID_OPTION',
    ],
    ['nothing', undefined, /but received undefined$/, 'INVALID_OPTION'],
  ])('%s', async (_, source, message, code) => {
    for (const fit of [fitWhitening, fitPca, fitAllButTheTop] as ((source: unknown) => Promise<unknown>)[])
      await expect(fit(source)).rejects.toMatchObject({
        code: `ERR_EMBEDCORE_${code}`,
        message: expect.stringMatching(message) as string,
      })
  })

  test('a vector with NaN is named', async () => {
    const given = rows(300, 4)
    given.data[4 * 270 + 1] = NaN
    await expect(fitWhitening(given)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_NON_FINITE',
      message: 'expected finite numbers in vector 270 but found others',
    })
  })

  test('texts and files', async () => {
    await expect(fitWhitening(encoder, ['a', 5] as never)).rejects.toThrow(
      /^Expected a string for text 1 but received 5$/,
    )
    await expect(fitWhitening(encoder, 5 as never)).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_OPTION' })
    await expect(fitWhitening(encoder, path.join(scratch, 'absent.txt'))).rejects.toThrow(/there is no such file$/)
    await expect(fitWhitening(encoder, file('a.csv', 'one,two\n1,2\n'))).rejects.toThrow(/Expected the column "text"/)
    await expect(fitWhitening(encoder, file('a.txt', 'one\n'), { columns: 'x' })).rejects.toThrow(
      /^Expected nothing for/,
    )
    await expect(fitWhitening(encoder, ['a'], { columns: 'x' })).rejects.toThrow(/nothing beside texts in memory/)
    await expect(
      fitWhitening(encoder, (function* () { yield 'a'; throw new Error('no more') })()), // prettier-ignore
    ).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_DATA', message: 'Reading the texts failed: no more' })
  })

  test('the texts of a file are those in memory', async () => {
    const texts = Array.from({ length: 40 }, (_, i) => 'x'.repeat(i + 1))
    const expected = await fitWhitening(encoder, texts)
    const csv = texts.map((text, i) => (i % 2 ? `,${text}\n` : text)).join('')
    for (const [name, content, options] of [
      ['texts.txt', texts.join('\n'), {}],
      ['texts.jsonl', texts.map((text) => JSON.stringify({ text })).join('\n'), {}],
      ['texts.csv', csv, { columns: [1, 2] }],
    ] as const)
      expect((await fitWhitening(encoder, file(name, content), options)).weight).toEqual(expected.weight)
  })
})

describe('options', () => {
  test.each([
    [{ dimension: 2 }, /did you mean "dimensions"\?/],
    [{ dimensions: 0 }, /^Expected an integer from 1 to \d+ for dimensions but received 0$/],
    [
      { dimensions: 5 },
      /^Expected an integer from 1 to 4 \(the vectors have so many numbers\) for dimensions but received 5$/,
    ],
    [{ ridge: -1 }, /^Expected a number of at least 0 for ridge but received -1$/],
    [
      { encode: { output: 'token' } },
      /^Expected nothing \(a fit takes one float32 vector per text\) for encode.output/,
    ],
    [{ encode: { pooling: 'average' } }, /for pooling/],
    [{ batchSize: 0 }, /for batchSize/],
    [{ onProgress: () => { throw new Error('stop') } }, /^The call's onProgress threw: stop$/], // prettier-ignore
  ])('%o', async (options, message) => {
    await expect(fitWhitening(rows(30, 4), options as never)).rejects.toThrow(message)
  })

  test('components, pairs and vectors to map', async () => {
    await expect(fitAllButTheTop(rows(30, 4), { components: 4 })).rejects.toThrow(/^Expected an integer below 4/)
    await expect(fitProcrustes(rows(30, 4), rows(29, 4))).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_SHAPE_MISMATCH',
    })
    await expect(fitProcrustes(rows(30, 4), rows(30, 4), { heldOut: 1 })).rejects.toThrow(/a number from 0 to 0.9/)
    const found = await fitPca(rows(30, 4))
    await expect(found.apply(rows(2, 3))).rejects.toThrow(/^Expected vectors of 4 numbers but received vectors of 3$/)
    await expect(found.save('')).rejects.toThrow(/^Expected the path of a directory for directory but received ""$/)
    await expect(found.save(path.join(file('taken', ''), 'x'))).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_WRITE_FAILED',
    })
    await expect(found.saveModel({} as never, 'x')).rejects.toThrow(/^Expected a model of load\(\) for model/)
    expect(() => new (LinearTransform as unknown as new () => unknown)()).toThrow(/^Expected fitWhitening\(\)/)
  })
})

describe('abort', () => {
  const aborted = { code: 'ERR_EMBEDCORE_ABORTED', name: 'AbortError' }

  test('before, while texts are read, and while the directions are computed', async () => {
    await expect(fitWhitening(rows(30, 4), { signal: AbortSignal.abort() })).rejects.toMatchObject(aborted)
    await expect(fitProcrustes(rows(30, 4), rows(30, 4), { signal: AbortSignal.abort() })).rejects.toMatchObject(
      aborted,
    )
    const stop = new AbortController()
    let closed = false
    async function* endless(): AsyncGenerator<string> {
      try {
        for (let i = 0; ; i++) yield 'x'.repeat(i % 50)
      } finally {
        closed = true
      }
    }
    const reading = fitWhitening(encoder, endless(), {
      signal: stop.signal,
      batchSize: 8,
      onProgress: ({ done }) => done > 100 && stop.abort(),
    })
    await expect(reading).rejects.toMatchObject(aborted)
    expect(closed).toBe(true)
    // 1500 dimensions take seconds, an abort ends them between two steps.
    const late = new AbortController()
    const computing = fitPca(rows(1600, 1500), {
      signal: late.signal,
      onProgress: () => setTimeout(() => late.abort(), 5),
    })
    await expect(computing).rejects.toMatchObject(aborted)
  })
})
