/** Files of static vectors against what gensim and fastText make of them (test/golden/make_static.py). */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { type DocumentOptions, loadStatic, type NearWord } from '../../src/index.js'
import { readAnalogies } from '../../src/static/judge.js'

const GOLDEN = path.join(import.meta.dirname, '..', 'golden', 'static')
const golden = JSON.parse(readFileSync(path.join(GOLDEN, 'golden.json'), 'utf8'))
const file = (name: string): string => path.join(GOLDEN, name)
const REAL = path.join(import.meta.dirname, '..', '..', '..', 'shared', 'data', 'vector-formats')

const scratch = mkdtempSync(path.join(tmpdir(), 'embedcore-static-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

/** Sums of eight to sixteen float32 products of numbers about 1, in another order. */
const CLOSE = 2e-6

function expectNear(found: readonly NearWord[], expected: readonly [string, number][]): void {
  expect(found.map(({ word }) => word)).toEqual(expected.map(([word]) => word))
  found.forEach(({ score }, i) => expect(Math.abs(score - expected[i]![1])).toBeLessThan(CLOSE))
}

function expectRow(found: ArrayLike<number> | null, expected: readonly number[], bound = CLOSE): void {
  expect(found).not.toBeNull()
  expect(found!.length).toBe(expected.length)
  expected.forEach((value, i) => expect(Math.abs(found![i]! - value)).toBeLessThanOrEqual(bound))
}

describe('word2vec and GloVe', () => {
  it.each([
    ['plain.txt', 'word2vec', false],
    ['plain.bin', 'word2vec-binary', true],
    ['plain.glove', 'glove', false],
  ])('reads %s', async (name, format, mapped) => {
    const vectors = await loadStatic(file(name))
    expect(vectors.info).toMatchObject({
      format,
      mapped,
      dimension: 8,
      words: golden.plain.words.length,
      duplicates: 0,
    })
    expect(vectors.words()).toEqual(golden.plain.words)
    for (const [word, row] of Object.entries<number[]>(golden.plain.vectors))
      expectRow(vectors.vector(word), row.map(Math.fround), 0)
    for (const [word, expected] of Object.entries<[string, number][]>(golden.plain.nearest))
      expectNear(await vectors.nearest(word, { count: 6 }), expected)
    expectNear(await vectors.nearest('king', { count: 6, restrictVocab: 10 }), golden.plain.nearest_restricted)
    const analogy = { positive: ['queen', 'man'], negative: ['king'], count: 6 }
    expectNear(await vectors.analogy(analogy), golden.plain.add)
    expect(vectors.similarity('king', 'queen')).toBeCloseTo(golden.plain.similarity, 6)
    const products = await vectors.analogy({ ...analogy, method: '3CosMul' })
    expect(products.map(({ word }) => word)).toEqual(golden.plain.mul.map(([word]: [string]) => word))
    // A quotient by a small product makes the float32 error of a cosine larger by as much.
    products.forEach(({ score }, i) => expect(score / golden.plain.mul[i][1]).toBeCloseTo(1, 4))
    expect(vectors.vector('unknown')).toBeNull()
    expect(vectors.counts()).toBeNull()
  })

  it('judges analogies and word pairs as gensim does', async () => {
    const vectors = await loadStatic(file('plain.bin'))
    const { sections, analogies, pairs, word_pairs } = golden.plain
    const found = await vectors.evaluateAnalogies(sections)
    expect(found.accuracy).toBeCloseTo(analogies.accuracy, 12)
    expect([...found.sections, found].map(({ correct, judged }) => [correct, judged])).toEqual(
      analogies.sections.map(([, correct, judged]: [string, number, number]) => [correct, judged]),
    )
    expect(found.unknown).toBe(1)
    expect(found.correct).toBeGreaterThan(0)
    expect((await vectors.evaluateAnalogies(sections, { dummy4unknown: true })).accuracy).toBeCloseTo(
      analogies.with_dummy,
      12,
    )
    const judged = await vectors.evaluateWordPairs(pairs)
    expect(judged.pearson).toBeCloseTo(word_pairs.pearson, 5)
    expect(judged.spearman).toBeCloseTo(word_pairs.spearman, 12)
    expect((judged.unknown / pairs.length) * 100).toBeCloseTo(word_pairs.unknown_percent, 9)
  })

  it.each(['word2vec', 'word2vec-binary', 'glove'] as const)('writes %s that reads back the same', async (format) => {
    const vectors = await loadStatic(file('plain.bin'))
    const copy = path.join(scratch, `copy.${format}`)
    await vectors.save(copy, { format })
    const back = await loadStatic(copy)
    expect(back.info.format).toBe(format)
    const words = vectors.words()
    expect(back.words()).toEqual(words)
    expect((await back.vectors(words)).data).toEqual((await vectors.vectors(words)).data)
  })

  it('reads the first words alone, and reads words with blanks in GloVe', async () => {
    expect((await loadStatic(file('plain.txt'), { limit: 3 })).words()).toEqual(golden.plain.words.slice(0, 3))
    expect((await loadStatic(file('plain.bin'), { limit: 3 })).words()).toEqual(golden.plain.words.slice(0, 3))
    const blanks = path.join(scratch, 'blanks.txt')
    writeFileSync(blanks, 'the 1 2\n. . . 3 4\nat name@domain.com -1e-3 +5\n')
    const vectors = await loadStatic(blanks)
    expect(vectors.words()).toEqual(['the', '. . .', 'at name@domain.com'])
    expectRow(vectors.vector('at name@domain.com'), [Math.fround(-1e-3), 5], 0)
    await expect(vectors.save(path.join(scratch, 'x.txt'))).rejects.toThrow(/"\. \. \."/)
  })
})

describe('fastText', () => {
  it('composes known and unknown words', async () => {
    const vectors = await loadStatic(file('skipgram.bin'))
    const expected = golden.files['skipgram.bin']
    expect(vectors.info).toMatchObject({ format: 'fasttext', mapped: true, subwords: { minN: 2, maxN: 4, bucket: 50 } })
    expect(vectors.words()).toEqual(expected.words)
    expect(Array.from(vectors.counts()!)).toEqual(expected.counts)
    for (const [word, row] of Object.entries<number[]>({ ...expected.vectors, ...expected.unknown }))
      expectRow(vectors.vector(word), row)
    for (const [word, near] of Object.entries<[string, number][]>(expected.nearest))
      expectNear(await vectors.nearest(word, { count: 5 }), near)
  })

  it.each(['skipgram', 'cbow'])('reads %s.bin as the composed %s.vec, and writes the same bytes', async (name) => {
    const [bin, vec] = [await loadStatic(file(`${name}.bin`)), await loadStatic(file(`${name}.vec`))]
    expect(vec.words()).toEqual(bin.words())
    const [ours, theirs] = [await bin.vectors(bin.words()), await vec.vectors(bin.words())]
    // .vec has five significant digits.
    ours.data.forEach((value, i) =>
      expect(Math.abs(value - theirs.data[i]!)).toBeLessThan(1e-5 + 5e-5 * Math.abs(value)),
    )
    const copy = path.join(scratch, `${name}.bin`)
    await bin.save(copy, { format: 'fasttext' })
    const [written, original] = [readFileSync(copy), readFileSync(file(`${name}.bin`))]
    // fastText writes -1 or 0 for "nothing pruned", depending on its version.
    const pruned = 4 * 14 + 8 + 4 * 3 + 8
    written.copy(written, 0)
    original.copy(written, pruned, pruned, pruned + 8)
    expect(written.equals(original)).toBe(true)
  })

  it('makes vectors of texts', async () => {
    const vectors = await loadStatic(file('skipgram.bin'))
    const { texts, unit_mean, sif, component } = golden.documents
    const width = vectors.dimension
    const row = (data: Float32Array, i: number): Float32Array => data.subarray(i * width, (i + 1) * width)
    const units = await vectors.documentVectors(texts, { pooling: 'unit-mean' })
    // fastText prints five significant digits.
    unit_mean.forEach((expected: number[], i: number) => expectRow(row(units.data, i), expected, 1e-5))
    const options: DocumentOptions = { pooling: 'sif' }
    const found = await vectors.documentVectors(texts, options)
    sif.forEach((expected: number[], i: number) => expectRow(row(found.data, i), expected, 1e-6))
    expectRow(found.commonComponent, component, 1e-5)
    const again = await vectors.documentVectors(texts.slice(0, 1), {
      ...options,
      commonComponent: found.commonComponent!,
    })
    expectRow(row(again.data, 0), Array.from(row(found.data, 0)), 0)
    const mean = await vectors.documentVectors(['king queen', '', 'king'])
    expect(Array.from(mean.knownWords)).toEqual([2, 0, 1])
    expectRow(row(mean.data, 1), new Array<number>(width).fill(0), 0)
    const [king, queen] = [vectors.vector('king')!, vectors.vector('queen')!]
    expectRow(
      row(mean.data, 0),
      Array.from(king, (value, d) => (value + queen[d]!) / 2),
      1e-7,
    )
    const weighted = await vectors.documentVectors(['king queen'], { weights: (word) => (word === 'king' ? 3 : 1) })
    expectRow(
      row(weighted.data, 0),
      Array.from(king, (value, d) => (3 * value + queen[d]!) / 4),
      1e-7,
    )
  })
})

// The files are those of gensim's own tests; they are not part of the package.
describe.skipIf(!existsSync(REAL))('files of other writers', () => {
  const real = (name: string): string => path.join(REAL, name)
  it.each([['crime-and-punishment.bin', 'crime-and-punishment.vec', 291, 5]])(
    '%s holds the vectors of %s',
    async (bin, vec, words, dimension) => {
      const [a, b] = [await loadStatic(real(bin)), await loadStatic(real(vec))]
      expect([a.info.words, a.dimension]).toEqual([words, dimension])
      const [x, y] = [await a.vectors(b.words()), await b.vectors(b.words())]
      // Words of equal counts come in any order, and older versions leave `</s>` out of the text.
      expect(b.words().sort()).toEqual(
        a
          .words()
          .filter((word) => b.has(word))
          .sort(),
      )
      expect(a.info.words - b.info.words).toBeLessThanOrEqual(1)
      x.data.forEach((value, i) => expect(Math.abs(value - y.data[i]!)).toBeLessThan(1e-5 + 5e-5 * Math.abs(value)))
    },
  )

  it.each([
    ['word2vec_pre_kv_c', 'word2vec', 1750, 10],
    ['euclidean_vectors.bin', 'word2vec-binary', 2747, 10],
    ['test_glove.txt', 'glove', 76, 50],
    ['EN.1-10.cbow1_wind5_hs0_neg10_size300_smpl1e-05.txt', 'word2vec', 20, 300],
    ['lee_fasttext_new.bin', 'fasttext', 1763, 10],
    ['lee_fasttext.vec', 'word2vec', 1762, 10],
    ['non_ascii_fasttext.bin', 'fasttext', undefined, 2],
  ])('%s is %s', async (name, format, words, dimension) => {
    const { info } = await loadStatic(real(name))
    expect(info).toMatchObject({ format, dimension, ...(words === undefined ? {} : { words }) })
    expect(info.duplicates + info.repaired + info.skipped).toBe(0)
  })

  it('refuses or repairs words that are not UTF-8', async () => {
    await expect(loadStatic(real('cp852_fasttext.bin'))).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_FILE' })
    const vectors = await loadStatic(real('cp852_fasttext.bin'), { invalidUtf8: 'replace' })
    expect(vectors.info.repaired).toBeGreaterThan(0)
  })

  it('reads the questions of the C tool', async () => {
    const sections = await readAnalogies(path.join(REAL, '..', 'analogies', 'questions-words.txt'))
    expect([sections.length, sections.reduce((sum, { questions }) => sum + questions.length, 0)]).toEqual([14, 19544])
    const chinese = await readAnalogies(path.join(REAL, '..', 'analogies', 'CA8-semantic.txt'))
    expect(chinese.reduce((sum, { questions }) => sum + questions.length, 0)).toBe(7636)
  })
})
