/** From the columns of a source to the kind of its data. */
import { describe, expect, test } from 'vitest'
import { describeFormat, detectFormat } from '../../src/train/data/columns.js'
import { openData } from '../../src/train/data/open.js'
import type { TrainingSources } from '../../src/train/data/sources.js'

const detect = (row: object, mapping: Record<string, string> | null = null, negatives = 7) =>
  detectFormat(
    row as Record<string, unknown>,
    mapping === null ? null : new Map(Object.entries(mapping).map(([ours, theirs]) => [ours, [theirs]])),
    negatives,
  )
const says = (row: object, mapping: Record<string, string> | null = null) => {
  const format = detect(row, mapping)
  return 'wrong' in format ? format.wrong : describeFormat(format)
}

describe('kinds', () => {
  test.each([
    [{ anchor: 'a', positive: 'b' }, 'pairs: anchor, positive'],
    [{ query: 'a', answer: 'b' }, 'pairs: anchor (from "query"), positive (from "answer")'],
    [{ question: 'a', response: 'b', price: 3 }, /^pairs: .*; ignored "price"$/],
    [{ sentence1: 'a', sentence2: 'b' }, 'pairs: sentence1, sentence2'],
    [{ anchor: 'a', positive: 'b', negative: 'c' }, 'triplets: anchor, positive, negative'],
    [
      { anchor: 'a', positive: 'b', negative_1: 'c', negative_2: 'd' },
      'triplets: anchor, positive, negative_1, negative_2',
    ],
    [
      { anchor: 'a', positive: 'b', negative: 'c', scores: [1, 0] },
      'scored-triplets: anchor, positive, negative; numbers from "scores"',
    ],
    [{ sentence1: 'a', sentence2: 'b', score: 0.5 }, 'scored-pairs: sentence1, sentence2; numbers from "score"'],
    [{ premise: 'a', hypothesis: 'b', label: 1 }, /^scored-pairs: .*; numbers from "label"$/],
    [{ anchor: 'a', positive: 'b', label: 1 }, 'scored-pairs: anchor, positive; numbers from "label"'],
    [{ sentence: 'a' }, 'texts: sentence'],
    [{ text: 'a', label: 'x' }, 'labelled-texts: sentence (from "text"); class from "label"'],
    [{ sentence: 'a', label: [0.1, 0.2] }, 'text-vectors: sentence; vector from "label"'],
    [
      { query: 'a', pos: ['b'], neg: ['c'] },
      'flag-embedding: anchor (from "query"), positives (from "pos"), negatives (from "neg")',
    ],
    [
      { query: 'a', pos: ['b'], neg: ['c'], pos_scores: [1], neg_scores: [0], prompt: 'p' },
      /^flag-embedding: .*; with "pos_scores", "neg_scores", "prompt"$/,
    ],
    [
      { anchor: 'a', positive: 'b', category: 'c', lang: 'en', id: 1, group: 2 },
      'pairs: anchor, positive; id, group, category, language ("lang")',
    ],
  ])('%j', (row, expected) => {
    expect(says(row)).toEqual(expected instanceof RegExp ? expect.stringMatching(expected) : expected)
  })

  test('flag-embedding has as many negatives as asked', () => {
    expect(detect({ query: 'a', pos: ['b'], neg: ['c'] }, null, 2)).toMatchObject({
      columns: ['anchor', 'positive', 'negative_1', 'negative_2'],
    })
    expect(detect({ query: 'a', pos: ['b'] }, null, 0)).toMatchObject({ columns: ['anchor', 'positive'] })
  })
})

describe('columns that are no kind of data', () => {
  test.each([
    [{}, 'no anchor, sentence1, sentence or query among no columns'],
    [{ title: 'a', body: 'b' }, 'no anchor, sentence1, sentence or query among "title", "body"'],
    [{ anchor: 'a' }, '"anchor" without a positive among "anchor"'],
    [{ anchor: 'a', postive: 'b' }, /^the column "postive"; did you mean "positive"\?/],
    [{ anchor: 'a', positive: 'b', negatve: 'c' }, /^the column "negatve"; did you mean "negative"\?/],
    [{ anchor: 'a', positive: 'b', negatives: ['c'] }, /^the column "negatives"; did you mean "negative"\?/],
    [{ sentence1: 'a', sentense2: 'b' }, /^the column "sentense2"; did you mean "sentence1"\?/],
    [{ anchor: 'a', query: 'b', positive: 'c' }, 'both "anchor" and "query", which mean the same'],
    [{ anchor: 'a', positive: 'b', score: 1, label: 1 }, 'both "score" and "label"'],
    [{ anchor: 'a', positive: 'b', text: 'c' }, 'both "anchor" and "text", of different kinds of data'],
    [{ anchor: 'a', positive: 'b', negative: 'c', negative_1: 'd' }, 'both "negative" and "negative_1"'],
    [{ anchor: 'a', positive: 'b', negative_2: 'd' }, 'the column "negative_2" without negative_1'],
    [{ anchor: 'a', positive: 'b', negative_1: 'c', negative_3: 'd' }, 'the column "negative_3" without negative_2'],
    [{ sentence1: 'a', sentence2: 'b', negative: 'c' }, '"negative" beside "sentence1", without an anchor'],
    [{ sentence: 'a', positive: 'b' }, 'the column "positive" beside "sentence", without an anchor'],
    [{ sentence: 'a', score: 1 }, 'the column "score" for a single text'],
    [{ pos: ['a'], neg: ['b'] }, '"pos" without a query'],
    [{ query: 'a', pos: ['b'] }, '"pos" without "neg"'],
    [{ query: 'a', pos: ['b'], neg: ['c'], pos_scores: [1] }, '"pos_scores" without its counterpart'],
    [{ query: 'a', pos: ['b'], neg: ['c'], positive: 'd' }, 'both "pos" and "positive"'],
    [{ query: 'a', positive: 'b', neg: ['c'] }, 'the column "neg", which belongs to "query" and "pos"'],
  ])('%j', (row, expected) => {
    expect(says(row)).toEqual(expected instanceof RegExp ? expect.stringMatching(expected) : expected)
  })

  test('words that only look a little like a column are ignored', () => {
    for (const name of ['code', 'title', 'price', 'notes', 'grade', 'core', 'languages_spoken', 'sense'])
      expect(says({ anchor: 'a', positive: 'b', [name]: 'x' })).toBe(`pairs: anchor, positive; ignored "${name}"`)
  })
})

describe('the option columns', () => {
  const row = { title: 'a', body: 'b', text: 'c', anchor: 'd', cat: 'e', wrong: 'f' }

  test('names all columns that are used', () => {
    expect(says(row, { anchor: 'title', positive: 'body', category: 'cat' })).toBe(
      'pairs: anchor (from "title"), positive (from "body"); category ("cat"); ignored "text", "anchor", "wrong"',
    )
    expect(says(row, { anchor: 'title', positive: 'body', negative_1: 'text', negative_2: 'wrong' })).toMatch(
      /^triplets: .*negative_1 \(from "text"\), negative_2 \(from "wrong"\)/,
    )
  })

  test('must name what is there', () => {
    expect(says(row, { anchor: 'title', positive: 'boddy' })).toMatch(
      /^no column "boddy" \(for positive\) among "title"/,
    )
  })

  test.each([
    [
      { columns: { anchr: 'title' } },
      'UNKNOWN_OPTION',
      /Expected a known column in columns but received "anchr"; did you mean "anchor"\?/,
    ],
    [{ columns: { anchor: 3 } }, 'INVALID_OPTION', /for columns but received an object/],
    [{ columns: {} }, 'INVALID_OPTION', /for columns/],
    [{ columns: ['a', 'a'] }, 'INVALID_OPTION', /a list of different names for columns/],
    [{ columns: ['a', 'b'] }, 'INVALID_OPTION', /a list of names is for files/],
    [{ weight: 0 }, 'INVALID_OPTION', /a number above 0 for weight but received 0/],
    [{ weight: null }, 'INVALID_OPTION', /a number above 0 for weight but received null/],
    [{ wieght: 2 }, 'UNKNOWN_OPTION', /did you mean "weight"\?/],
    [{ negatives: -1 }, 'INVALID_OPTION', /an integer from 0 to 1024 for negatives/],
    [{ delimiter: ',' }, 'INVALID_OPTION', /nothing beside rows \(it is for files\) for delimiter/],
    [
      { prompts: { positve: 'x' } },
      'UNKNOWN_OPTION',
      /a column of the data of rows in prompts but received "positve"; did you mean "positive"\?/,
    ],
    [{ prompts: 3 }, 'INVALID_OPTION', /for prompts but received 3/],
    [{ path: 'x.jsonl' }, 'INVALID_OPTION', /either path or rows/],
  ])('%j', async (options, code, message) => {
    const source = { rows: [{ anchor: 'a', positive: 'b' }], ...options } as TrainingSources
    await expect(openData(source)).rejects.toMatchObject({
      code: `ERR_EMBEDCORE_${code}`,
      message: expect.stringMatching(message) as string,
    })
  })
})

describe('data that are none', () => {
  const thrown = () => {
    throw new Error('mine')
  }
  const BAD: [string, unknown][] = [
    ['undefined', undefined],
    ['null', null],
    ['a number', 5],
    ['an empty object', {}],
    ['an empty map', new Map()],
    ['a typed array', new Float32Array(3)],
    ['a name without a source', { shop: 5 }],
    ['a list of paths', ['a.jsonl', 'b.jsonl']],
    ['an empty list', []],
    ['a list of numbers', [5]],
    ['a proxy that throws', new Proxy({}, { get: thrown, ownKeys: thrown, getOwnPropertyDescriptor: thrown })],
  ]
  test.each(BAD)('%s', async (_name, data) => {
    await expect(openData(data as TrainingSources)).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_EMBEDCORE_INVALID_(OPTION|DATA)$/) as string,
    })
  })

  test('a misspelt option of one source is not the name of a source', async () => {
    await expect(openData({ pth: 'a.jsonl', weight: 3 } as unknown as TrainingSources)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_UNKNOWN_OPTION',
      message: expect.stringContaining('did you mean "path"?') as string,
    })
  })
})
