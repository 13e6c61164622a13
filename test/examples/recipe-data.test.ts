/** How the recipes of examples/ read and split their data. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { ROOT } from '../support/golden.js'

const load = async <T>(file: string): Promise<T> => (await import(path.join(ROOT, 'examples', file))) as T
interface Pair {
  left: string
  right: string
  match: boolean
}
interface Retrieval {
  name: string
  queries: Map<string, string>
  corpus: Map<string, string>
  relevantDocs: Map<string, Set<string>>
}
const { readPairs, components } = await load<{
  readPairs(file: string): Pair[]
  components(pairs: Pair[]): Map<string, number>
}>('products/pairs.mjs')
const { split } = await load<{
  split(
    name: string,
    pairs: Pair[],
    seed: number,
  ): { rows: { anchor: string; positive: string; group: string }[]; retrieval: Retrieval }
}>('products/held-out.mjs')
const { tfidfRetrieval } = await load<{ tfidfRetrieval(of: Retrieval): Record<string, number> }>('lib/tfidf.mjs')
const { readTaxonomy } = await load<{ readTaxonomy(file: string): unknown[] }>('cross-language/off.mjs')
const { readApps } = await load<{ readApps(file: string): unknown[] }>('cross-language/apps.mjs')
const { cutModel } = await load<{ cutModel(from: string, to: string, layers: number): string }>('simcse/cut-model.mjs')
const { learnBytePairs } = await load<{
  learnBytePairs(
    texts: string[],
    size: number,
  ): { model: { vocab: Record<string, number>; merges: [string, string][] }; added_tokens: { id: number }[] }
}>('lib/byte-pairs.mjs')
const { readTensors } = await load<{ readTensors(file: string): Map<string, { shape: number[]; bytes: Uint8Array }> }>(
  'lib/safetensors.mjs',
)

const root = mkdtempSync(path.join(tmpdir(), 'embedcore-recipe-data-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
function file(name: string, content: string | Uint8Array): string {
  writeFileSync(path.join(root, name), content)
  return path.join(root, name)
}

describe('product pairs', () => {
  test('are read without the traces of their collection', () => {
    const lines = [
      'COL title VAL visio 2007 COL manufacturer VAL microsoft COL price VAL 9 \tCOL title VAL microsoft visio ' +
        'COL manufacturer VAL  COL price VAL 8 \t1',
      'COL title VAL  "HP 640"@en-US "x"@es\tCOL title VAL  "a@b.com"  c\t0',
    ]
    expect(readPairs(file('pairs.txt', lines.join('\n')))).toEqual([
      { left: 'microsoft visio 2007', right: 'microsoft visio', match: true },
      { left: 'HP 640 x', right: 'a@b.com c', match: false },
    ])
  })

  test('a line of another form is named', () => {
    const broken = file('broken.txt', 'COL title VAL a\tCOL title VAL b\t1\nCOL title VAL a\t1')
    expect(() => readPairs(broken)).toThrow(`in line 2 of ${broken}`)
  })

  test('texts are one component when matches connect them', () => {
    const pair = (left: string, right: string, match = true): Pair => ({ left, right, match })
    const number = components([pair('a', 'b'), pair('c', 'd'), pair('d', 'b'), pair('e', 'a', false)])
    expect(new Set(['a', 'b', 'c', 'd'].map((text) => number.get(text))).size).toBe(1)
    expect(number.get('e')).not.toBe(number.get('a'))
  })

  test('nothing of a held-out product is trained on', () => {
    // Chains a0-b0-a1-b1 …: products with up to four wordings, which only the chain connects.
    const pairs = Array.from({ length: 120 }, (_, i) => [
      { left: `l${i}`, right: `r${i}`, match: true },
      ...(i % 2 ? [{ left: `L${i - 1}`, right: `r${i}`, match: true }] : []),
      { left: `l${i}`, right: `other ${i}`, match: false },
    ]).flat()
    const { rows, retrieval } = split('set', pairs, 1)
    const number = components(pairs.map((pair) => ({ ...pair, left: pair.left.toLowerCase() })))
    const of = (texts: Iterable<string>): Set<number> =>
      new Set([...texts].map((text) => number.get(text.toLowerCase())!))
    const trained = of(rows.flatMap(({ anchor, positive }) => [anchor, positive]))
    const judged = of([...retrieval.queries.values(), ...retrieval.corpus.values()])
    expect([...judged].filter((component) => trained.has(component))).toEqual([])
    expect(retrieval.queries.size).toBe(Math.round(0.25 * 60))
    for (const [id, wanted] of retrieval.relevantDocs) {
      const own = number.get(retrieval.queries.get(id)!.toLowerCase())
      expect(wanted.size).toBeGreaterThan(0)
      for (const text of wanted) {
        expect(number.get(text)).toBe(own)
        expect(retrieval.corpus.has(text)).toBe(true)
      }
    }
    // Texts without a match are documents too.
    expect(retrieval.corpus.has('other 0')).toBe(true)
  })
})

test('TF-IDF finds by letters, and ranks equal documents by their order', () => {
  const retrieval: Retrieval = {
    name: 'x',
    queries: new Map([
      ['1', 'canon eos 5d'],
      ['2', 'zzz'],
    ]),
    corpus: new Map([
      ['a', 'nikon d90'],
      ['b', 'eos 5d by canon'],
      ['c', 'canon'],
    ]),
    relevantDocs: new Map([
      ['1', new Set(['b'])],
      ['2', new Set(['a'])],
    ]),
  }
  expect(tfidfRetrieval(retrieval)).toEqual({ 'x_cosine_accuracy@1': 1, 'x_cosine_mrr@10': 1 })
  retrieval.relevantDocs.set('1', new Set(['c']))
  expect(tfidfRetrieval(retrieval)).toEqual({ 'x_cosine_accuracy@1': 0.5, 'x_cosine_mrr@10': 0.75 })
})

test('the taxonomy has the first name of a language and the topmost ancestor', () => {
  const blocks = [
    'stopwords:fr:au',
    'en:Drinks\nfr:Boissons',
    '<en:Drinks\nen:Beers, Beer\nfr:Bières, bière\nde:Biere',
    '<en:Beers\nen:Red beers\nzh:红啤酒',
    'fr:Rien\n',
  ]
  const text = blocks.join('\n\n')
  expect(readTaxonomy(file('categories.txt', text))).toEqual([
    { id: 'off Drinks', category: 'en:drinks', names: { en: 'Drinks', fr: 'Boissons' } },
    { id: 'off Beers', category: 'en:drinks', names: { en: 'Beers', fr: 'Bières' } },
    { id: 'off Red beers', category: 'en:drinks', names: { en: 'Red beers', zh: '红啤酒' } },
  ])
})

test('applications without an English summary are left out', () => {
  const lines = [
    { id: 'a', summary: { en: 'Text editor', fr: 'Éditeur' }, category: ['Utility'], description: { en: 'Edits.' } },
    { id: 'b', summary: { fr: 'Jeu' } },
  ]
  const packed = gzipSync(lines.map((line) => JSON.stringify(line) + '\n').join(''))
  expect(readApps(file('apps.jsonl.gz', packed))).toEqual([
    {
      id: 'app a',
      category: 'app Utility',
      names: { en: 'Text editor', fr: 'Éditeur' },
      description: 'Edits.',
    },
  ])
})

test('byte pairs are merged by frequency, then in the order of their letters', () => {
  const { model, added_tokens } = learnBytePairs(['aab aab', 'é'], 256 + 1 + 3)
  // ' aab' and 'aab' are two words; 'é' has two bytes and is there once.
  expect(model.merges).toEqual([
    ['a', 'a'],
    ['aa', 'b'],
  ])
  expect(model.vocab['aab']).toBe(257)
  expect(added_tokens[0]!.id).toBe(258)
  expect(learnBytePairs(['aab aab'], 256 + 1 + 1).model.merges).toEqual([['a', 'a']])
})

test('a cut model has the first layers, with the same bytes', () => {
  const from = path.join(ROOT, 'test/golden/stack/mean-normalize')
  const to = cutModel(from, path.join(root, 'cut'), 1)
  const [whole, cut] = [from, to].map((directory) => readTensors(path.join(directory, 'model.safetensors')))
  const layers = (JSON.parse(readFileSync(path.join(from, 'config.json'), 'utf8')) as { num_hidden_layers: number })
    .num_hidden_layers
  expect(layers).toBeGreaterThan(1)
  const expected = [...whole!.keys()].filter((name) => !/layer\.[1-9]/.test(name))
  expect([...cut!.keys()]).toEqual(expected)
  expect(expected.length).toBeLessThan(whole!.size)
  for (const [name, { shape, bytes }] of cut!) {
    expect(shape).toEqual(whole!.get(name)!.shape)
    expect(Buffer.compare(bytes, whole!.get(name)!.bytes)).toBe(0)
  }
})
