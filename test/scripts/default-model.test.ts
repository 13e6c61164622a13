/**
 * The script that makes the built-in model, on a tiny source model; and the documented properties of the built-in
 * model.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { embedCore, type Model } from '../../src/index.js'
import { GOLDEN, readJson, ROOT } from '../support/golden.js'

interface Corpus {
  name: string
  language: string
  files: string[]
  columns?: number[]
}
interface Distillation {
  source: string
  out: string
  corpora: Corpus[]
  data: string
  prefix: string
  dimensions: number
  pairs: null
  say?: (line: string) => void
}
type PieceVectors = (
  core: typeof embedCore,
  source: string,
  options: {
    prefix: string
    ownShare: number
    pieces?: number[]
    onProgress?: (done: number, total: number) => void
  },
) => Promise<{ data: Float32Array; width: number }>

const script = async <T>(name: string): Promise<T> =>
  (await import(pathToFileURL(path.join(ROOT, 'scripts/default-model', name)).href)) as T

const SOURCE = path.join(GOLDEN, 'stack/mean-normalize')
const { model: tokenizer } = readJson<{ model: { vocab: Record<string, number> } }>(path.join(SOURCE, 'tokenizer.json'))

describe('the vectors of pieces', () => {
  it('are those of the source model for the piece after the prefix', async () => {
    const { pieceVectors } = await script<{ pieceVectors: PieceVectors }>('piece-vectors.mjs')
    const words = ['cup', 'two', '##s'].filter((word) => Object.hasOwn(tokenizer.vocab, word))
    expect(words.length).toBeGreaterThan(1)
    const progress: number[] = []
    const { data, width } = await pieceVectors(embedCore, SOURCE, {
      prefix: 'the:',
      ownShare: 0.5,
      pieces: words.map((word) => tokenizer.vocab[word]!),
      onProgress: (done) => progress.push(done),
    })
    expect(data.length).toBe(words.length * width)
    expect(progress.at(-1)).toBe(words.length)
    const model = await embedCore.load(SOURCE)
    for (const [i, word] of words.entries()) {
      if (word.startsWith('##')) continue // Its text alone is another piece.
      const states = (await model.encode(`the: ${word}`, { output: 'token', normalize: false })).text(0)
      expect(states.tokens).toEqual(['[CLS]', 'the', ':', word, '[SEP]'])
      const [count, own] = [states.shape[0], 3]
      for (let d = 0; d < width; d++) {
        let expected = 0.5 * states.row(own)[d]!
        for (let t = 0; t < count; t++) expected += states.row(t)[d]! / count
        expect(data[i * width + d]).toBeCloseTo(expected, 5)
      }
    }
    await model.dispose()
  })
})

describe('distillation', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'embedcore-distill-'))
    await writeFile(path.join(folder, 'a.txt'), 'the small cup and the two boxes\nthe cup\n')
    await writeFile(path.join(folder, 'b.tsv'), 'name\ttext\nx\tthe red box\ny\ttwo cups\n')
  })
  afterAll(() => rm(folder, { recursive: true }))

  const corpora: Corpus[] = [
    { name: 'a', language: 'en', files: ['a.txt'] },
    { name: 'b', language: 'es', files: ['b.tsv'], columns: [1] },
  ]
  async function distilled(name: string): Promise<string> {
    const { distill } = await script<{
      distill: (core: typeof embedCore, options: Distillation) => Promise<void>
    }>('distill.mjs')
    const out = path.join(folder, name)
    const data = folder
    await distill(embedCore, { source: SOURCE, out, corpora, data, prefix: 'the:', dimensions: 8, pairs: null })
    return out
  }

  it('gives a static model that opens, and the same bytes each time', async () => {
    const [first, second] = [await distilled('first'), await distilled('second')]
    for (const entry of await readdir(first, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      const name = path.relative(first, path.join(entry.parentPath, entry.name))
      expect(await readFile(path.join(first, name)), name).toEqual(await readFile(path.join(second, name)))
    }
    const model = await embedCore.load(first)
    expect(model.info).toMatchObject({ kind: 'static', dimension: 8, fileDtype: 'int8', normalize: true })
    const { data } = await model.encode(['the cup', 'cup the', 'two boxes'])
    const row = (i: number) => [...data.subarray(8 * i, 8 * i + 8)]
    expect(row(0)).not.toEqual(row(2))
    row(0).forEach((value, d) => expect(value).toBeCloseTo(row(1)[d]!, 6)) // The order of words does not matter.
    await model.dispose()
  })

  it('cuts texts into the pieces of the source model', async () => {
    const out = await distilled('pieces')
    const texts = ['The small cups, and 2 boxes!', 'nothing known: 苹果', '[MASK] of [SEP]']
    const [source, made] = [await embedCore.load(SOURCE), await embedCore.load(out)]
    const [a, b] = [await source.encode(texts, { output: 'token' }), await made.encode(texts, { output: 'token' })]
    texts.forEach((_, i) => expect(b.text(i).tokens).toEqual(a.text(i).tokens.slice(1, -1)))
    await Promise.all([source.dispose(), made.dispose()])
  })
})

describe('the built-in model', () => {
  let model: Model
  beforeAll(async () => {
    model = await embedCore.load()
  })
  afterAll(() => model.dispose())

  const cosine = async (...texts: [string, string]) => {
    const rows = [...(await model.encode(texts))]
    return rows[0]!.reduce((sum, value, d) => sum + value * rows[1]![d]!, 0)
  }

  it('tells Chinese texts apart', async () => {
    expect(await cosine('一个苹果', '一只狗在跑')).toBeLessThan(0.5)
  })
  it.each(['一个苹果', '一隻狗在跑', 'a red apple', '¿Dónde está la manzana?', 'Où est la pomme française ?'])(
    'knows the pieces of %s',
    async (text) => {
      const { tokens } = (await model.encode(text, { output: 'token' })).text(0)
      expect(tokens.length).toBeGreaterThan(0)
      expect(tokens).not.toContain('<unk>')
    },
  )
  it.each([
    ['a dog is running', '一只狗在跑', '一个苹果'],
    ['an apple', '一个苹果', '一只狗在跑'],
    ['the dog runs', 'el perro corre', 'la manzana roja'],
    ['the red apple', 'la pomme rouge', 'le chien court'],
  ])('%s is nearer to %s than to %s', async (text, same, other) => {
    expect(await cosine(text, same)).toBeGreaterThan(await cosine(text, other))
  })
})
