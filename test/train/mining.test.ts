/** Hard negatives, compared with those of sentence-transformers (test/golden/make_mining.py). */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { load, mineHardNegatives, type Model } from '../../src/index.js'
import type { MiningOptions } from '../../src/train/mining/options.js'
import type { MinedRow } from '../../src/train/mining/output.js'
import { nearestTexts } from '../../src/train/mining/candidates.js'
import { openData } from '../../src/train/data/open.js'
import { GOLDEN } from '../support/golden.js'
import { filesDirectory, numbers } from './support.js'

interface Case {
  name: string
  rows: number
  options: Record<string, unknown>
  mined: MinedRow[]
  table: Record<string, number[]>
  skipped: Record<string, number>
  missing: number
}
interface Golden {
  stack: string
  pairs: { anchor: string; positive: string }[]
  corpus: string[]
  cases: Case[]
}

const golden = JSON.parse(readFileSync(path.join(GOLDEN, 'mining/golden.json'), 'utf8')) as Golden
const directory = path.join(GOLDEN, 'stack', golden.stack)
const { file } = filesDirectory()

const camel = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
function optionsOf({ options }: Case): MiningOptions {
  const given = Object.fromEntries(Object.entries(options).map(([name, value]) => [camel(name), value]))
  return given.corpus === true ? { ...given, corpus: golden.corpus } : given
}

/**
 * The two implementations differ by float32 rounding of about 16 dimensions x 2^-24 in a cosine; layers of the model
 * add some more. Texts whose similarities are nearer to each other than this may change places.
 */
const TOLERANCE = 2e-6

let model: Model
beforeAll(async () => {
  model = await load(directory)
})
afterAll(() => model.dispose())

/** Rows with their numbers taken out, which are compared with a tolerance. */
function parted(rows: readonly MinedRow[]): { texts: unknown[]; numbers: number[] } {
  const scores = ({ score, scores }: MinedRow) => scores ?? (score === undefined ? [] : [score])
  return {
    texts: rows.map((row) => ({ ...row, score: undefined, scores: undefined })),
    numbers: rows.flatMap(scores),
  }
}

const exact = golden.cases.filter(({ options }) => options.sampling_strategy !== 'random')
test.each(exact.map((one) => [one.name, one] as const))('as sentence-transformers: %s', async (_name, one) => {
  const { rows, statistics, report } = await mineHardNegatives(model, golden.pairs.slice(0, one.rows), optionsOf(one))
  const [ours, theirs] = [parted(rows), parted(one.mined)]
  expect(ours.texts).toEqual(theirs.texts)
  expect(ours.numbers).toHaveLength(theirs.numbers.length)
  ours.numbers.forEach((number, i) => expect(Math.abs(number - theirs.numbers[i]!)).toBeLessThan(TOLERANCE))

  const { positive, negative, difference, skipped, missing } = statistics
  expect([positive.count, negative.count]).toEqual(one.table.Count)
  for (const [name, key] of [
    ['Mean', 'mean'],
    ['Median', 'median'],
    ['Std', 'std'],
    ['Min', 'min'],
    ['25%', 'q25'],
    ['50%', 'q50'],
    ['75%', 'q75'],
    ['Max', 'max'],
  ] as const)
    [positive, negative, difference].forEach((summary, i) => {
      // Four printed decimals; the mean of float32 numbers is theirs in float32.
      expect(Math.abs(summary[key] - one.table[name]![i]!), name).toBeLessThan(0.00005 + TOLERANCE)
    })
  const { min_score: _theirs, ...others } = one.skipped
  const named = Object.fromEntries(Object.entries(skipped).map(([name, { count }]) => [name, count]))
  // They count what was dropped before among what minScore drops.
  delete named.minScore
  expect(named).toEqual(Object.fromEntries(Object.entries(others).map(([name, count]) => [camel(name), count])))
  expect(missing.count).toBe(one.missing)
  expect(report).toMatch(/^Metric +Positive +Negative +Difference\nCount/)
})

describe('random', () => {
  const one = golden.cases.find(({ name }) => name === 'random')!

  test('draws from the same window, by its seed', async () => {
    const options = optionsOf(one)
    const window = await mineHardNegatives(model, golden.pairs, {
      ...options,
      samplingStrategy: 'top',
      numNegatives: 11,
    })
    const first = await mineHardNegatives(model, golden.pairs, options)
    const keys = (rows: readonly MinedRow[]) =>
      rows.map(({ anchor, positive, negative }) => `${anchor}|${positive as string}|${negative}`)
    const allowed = new Set(keys(window.rows))
    for (const { rows } of [first, { rows: one.mined }]) for (const key of keys(rows)) expect(allowed).toContain(key)
    expect(first.rows).toHaveLength(one.mined.length)
    expect((await mineHardNegatives(model, golden.pairs, options)).rows).toEqual(first.rows)
    expect((await mineHardNegatives(model, golden.pairs, { ...options, seed: 1 })).rows).not.toEqual(first.rows)
  })
})

describe('data', () => {
  test('from files, an iterable and FlagEmbedding rows give the same', async () => {
    const expected = (await mineHardNegatives(model, golden.pairs)).rows
    const jsonl = file('pairs.jsonl', golden.pairs.map((row) => JSON.stringify(row) + '\n').join(''))
    expect((await mineHardNegatives(directory, jsonl)).rows).toEqual(expected)
    expect((await mineHardNegatives(model, new Set(golden.pairs))).rows).toEqual(expected)
    const flag = golden.pairs.map(({ anchor, positive }) => ({ query: anchor, pos: [positive] }))
    expect((await mineHardNegatives(model, flag)).rows).toEqual(expected)
  })

  test('of the corpus from a file', async () => {
    const corpus = file('corpus.jsonl', golden.corpus.map((text) => JSON.stringify({ text }) + '\n').join(''))
    const expected = (await mineHardNegatives(model, golden.pairs, { corpus: golden.corpus })).rows
    expect((await mineHardNegatives(model, golden.pairs, { corpus })).rows).toEqual(expected)
  })

  test('mined rows are training rows', async () => {
    for (const [outputFormat, kind] of [
      ['triplet', 'triplets'],
      ['n-tuple', 'triplets'],
      ['n-tuple-scores', 'scored-triplets'],
      ['labeled-pair', 'scored-pairs'],
    ] as const) {
      const { rows } = await mineHardNegatives(model, golden.pairs, { outputFormat })
      const data = await openData(rows as never[])
      expect(data.sources[0]!.format.kind).toBe(kind)
      expect(data.count).toBe(rows.length)
    }
  })

  test.each([
    [
      [{ sentence1: 'a', sentence2: 'b', score: 1 }],
      /Expected pairs of anchor and positive in rows but found scored-pairs/,
    ],
    [[{ sentence: 'a' }], /but found texts/],
    [[{ anchor: 'a' }], /"anchor" without a positive/],
    [
      [{ anchor: 'a', positive: 'b' }, { anchor: '' }],
      /rows\[1\]: expected a text but found an empty one for "anchor"/,
    ],
  ])('%j is refused', async (data, message) => {
    await expect(mineHardNegatives(model, data as never)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_DATA',
      message: expect.stringMatching(message) as string,
    })
  })
})

describe('options', () => {
  test.each([
    [{ crossEncoder: {} }, 'UNKNOWN_OPTION', /cross-encoders are not supported/],
    [{ cross_encoder: {} }, 'UNKNOWN_OPTION', /cross-encoders are not supported/],
    [{ use_faiss: true }, 'UNKNOWN_OPTION', /in blocks of bounded memory/],
    [{ margin: 0.1 }, 'UNKNOWN_OPTION', /use absoluteMargin or relativeMargin/],
    [{ as_triplets: true }, 'UNKNOWN_OPTION', /use outputFormat/],
    [{ num_negatives: 3 }, 'UNKNOWN_OPTION', /did you mean "numNegatives"\?/],
    [{ numNegative: 3 }, 'UNKNOWN_OPTION', /did you mean "numNegatives"\?/],
    [{ numNegatives: 0 }, 'INVALID_OPTION', /an integer from 1 .* for numNegatives but received 0/],
    [{ rangeMin: -1 }, 'INVALID_OPTION', /for rangeMin/],
    [
      { rangeMin: 5, rangeMax: 7 },
      'INVALID_OPTION',
      /at least 8 \(rangeMin 5 \+ numNegatives 3\) for rangeMax but received 7/,
    ],
    [{ outputFormat: 'triplets' }, 'INVALID_OPTION', /did you mean 'triplet'\?/],
    [{ includePositives: true, outputFormat: 'triplet' }, 'INVALID_OPTION', /'n-tuple' beside includePositives/],
    [{ outputFormat: 'n-tuple-scores', outputScores: false }, 'INVALID_OPTION', /true beside outputFormat/],
    [{ maxScore: NaN }, 'INVALID_OPTION', /a finite number for maxScore but received NaN/],
    [{ queryPrompt: 'a', queryPromptName: 'query' }, 'INVALID_OPTION', /nothing beside queryPrompt/],
    [{ queryPromptName: 'nobody' }, 'INVALID_OPTION', /for promptName but received "nobody"/],
    [{ corpus: ['a', 5] }, 'INVALID_TEXT', /a string for text 1 of the corpus but received 5/],
    [{ corpus: 5 }, 'INVALID_OPTION', /for data but received 5/],
    [{ samplingStrategy: 'best' }, 'INVALID_OPTION', /one of 'top', 'random' for samplingStrategy/],
  ])('%j', async (options, code, message) => {
    await expect(mineHardNegatives(model, golden.pairs, options as MiningOptions)).rejects.toMatchObject({
      code: `ERR_EMBEDCORE_${code}`,
      message: expect.stringMatching(message) as string,
    })
  })

  test('a model that is none', async () => {
    await expect(mineHardNegatives(5 as never, golden.pairs)).rejects.toThrow(
      /a model, the path of a directory or a hub id/,
    )
    await expect(mineHardNegatives('no/such/model/here', golden.pairs)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_NOT_FOUND',
    })
  })

  test('progress, and an end by a signal', async () => {
    const phases: string[] = []
    await mineHardNegatives(model, golden.pairs, { onProgress: ({ phase }) => phases.push(phase) })
    expect(new Set(phases)).toEqual(new Set(['encode', 'compare']))
    for (const phase of ['encode', 'compare']) {
      const stop = new AbortController()
      const mining = mineHardNegatives(model, golden.pairs, {
        signal: stop.signal,
        onProgress: (progress) => progress.phase === phase && stop.abort('enough'),
      })
      if (phase === 'encode')
        await expect(mining).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED', cause: 'enough' })
      else await expect(mining).resolves.toBeDefined() // one block: it is done
    }
    const thrown = { onProgress: () => { throw new Error('mine') } } // prettier-ignore
    await expect(mineHardNegatives(model, golden.pairs, thrown)).rejects.toThrow(/onProgress threw: mine/)
  })
})

describe('nearestTexts', () => {
  const dimension = 8
  const next = numbers(9)
  const vectors = (count: number) => Float32Array.from({ length: count * dimension }, () => next() - 0.5)

  test.each([
    [1, 5, 3],
    [7, 5000, 10],
    [40, 60_000, 25],
    [3, 4, 9],
  ])('%i queries, %i texts, k = %i', async (queries, texts, k) => {
    const [a, corpus] = [vectors(queries), vectors(texts)]
    corpus.copyWithin(dimension, 0, dimension) // two texts of equal similarity
    const positives = Array.from({ length: queries }, (_, i) => [(i * 7919) % texts, texts - 1])
    const found = await nearestTexts(a, positives, { corpus, dimension, metric: 'dot', k, signal: null })
    for (let query = 0; query < queries; query++) {
      const scores = Array.from({ length: texts }, (_, text) => {
        let sum = 0
        for (let d = 0; d < dimension; d++) sum += a[query * dimension + d]! * corpus[text * dimension + d]!
        return sum
      })
      const order = scores.map((_, i) => i).sort((i, j) => scores[j]! - scores[i]! || i - j)
      const own = Array.from(found.scores.subarray(query * k, (query + 1) * k))
      for (let i = 0; i < k; i++) {
        if (i >= texts) expect([own[i], found.places[query * k + i]]).toEqual([-Infinity, -1])
        // 8 products of numbers below 1/2: the sums differ by less than 8 x 2^-24.
        else expect(Math.abs(own[i]! - scores[order[i]!]!)).toBeLessThan(5e-7)
      }
      expect(own).toEqual([...own].sort((x, y) => y - x))
      positives[query]!.forEach((text, i) =>
        expect(Math.abs(found.positives[query]![i]! - scores[text]!)).toBeLessThan(5e-7),
      )
      // Equal similarities: the lower place comes first.
      const at = Array.from(found.places.subarray(query * k, (query + 1) * k))
      if (at.includes(1)) expect(at.indexOf(0)).toBe(at.indexOf(1) - 1)
    }
  })

  test('ends with the signal', async () => {
    const stop = new AbortController()
    const searching = nearestTexts(
      vectors(200),
      Array.from({ length: 200 }, () => []),
      {
        corpus: vectors(60_000),
        dimension,
        metric: 'cosine',
        k: 5,
        signal: stop.signal,
      },
    )
    stop.abort()
    await expect(searching).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
  })
})
