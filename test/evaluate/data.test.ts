/** Where rows come from, and what is wrong with them: every failure has a code, and names file and line. */
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { evaluate, type Evaluation, type Evaluator, type StsEvaluator } from '../../src/index.js'
import { lines, model, plain, refused, useFolder } from './support/data.js'

const folder = useFolder()
const { file } = folder

const ROWS = [
  { sentence1: 'a "small" cat', sentence2: 'a kitten, in short', score: 4.5 },
  { sentence1: 'tax law', sentence2: 'Ärger\tim Büro', score: 0 },
  { sentence1: 'line\nbreak', sentence2: '猫', score: 2 },
]
const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`
const table = (delimiter: string, header = true): string =>
  (header ? ['sentence1', 'sentence2', 'score'].join(delimiter) + '\n' : '') +
  ROWS.map((row) => [quoted(row.sentence1), quoted(row.sentence2), row.score].join(delimiter) + '\n').join('')

const sts = (data: StsEvaluator['data'], options: object = {}): Promise<Evaluation> =>
  evaluate(model, { task: 'sts', data, ...options })

describe('rows of pairs', () => {
  test.each<[string, string | Buffer, object]>([
    ['x.csv', table(','), {}],
    ['x.tsv', table('\t'), {}],
    ['crlf.csv', table(',').replaceAll('\n', '\r\n').replace('line\r\nbreak', 'line\nbreak'), {}],
    ['bom.csv', `\uFEFF${table(',')}`, {}],
    ['x.csv.gz', gzipSync(table(',')), {}],
    ['x.jsonl', lines(ROWS), {}],
    ['x.ndjson', '\n' + lines(ROWS).trimEnd(), {}],
    ['x.jsonl.gz', gzipSync(lines(ROWS)), {}],
    ['none.csv', table(',', false), { columns: [1, 2, 3] }],
    ['none.csv', table(',', false), { columns: ['1', '2', '3'] }],
    ['other.csv', table(',').replace('sentence1,sentence2,score', 'a,b,c'), { columns: ['a', 'b', 'c'] }],
    ['mixed.csv', table(',').replace('sentence1,sentence2,score', 'a,b,c'), { columns: ['a', 2, 'c'] }],
    [
      'other.jsonl',
      lines(ROWS.map(({ sentence1: a, sentence2: b, score: c }) => ({ c, b, a }))),
      { columns: ['a', 'b', 'c'] },
    ],
    ['quote.csv', table(',').replaceAll('"', "'"), { quote: "'" }],
  ])('of %s are those in memory', async (name, content, options) => {
    const expected = /quote/.test(name)
      ? await sts(ROWS.map((row) => ({ ...row, sentence1: row.sentence1.replaceAll('"', "'") })))
      : await sts(ROWS)
    expect(plain(await sts(await file(name, content), options))).toEqual(plain(expected))
  })

  test('quotes as ordinary characters', async () => {
    const content = ROWS.slice(0, 2)
      .map((row) => [`"${row.sentence1}`, row.sentence2.replace('\t', ' '), row.score].join('\t') + '\n')
      .join('')
    const data = await file('plain.tsv', content)
    const result = await sts(data, { columns: [1, 2, 3], quote: 'none' })
    expect(result.rows).toBe(2)
    await expect(sts(data, { columns: [1, 2, 3] })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_DATA',
      message: expect.stringMatching(/quote: 'none'/) as string,
    })
  })

  test('of a file larger than one piece', async () => {
    const many = Array.from({ length: 5000 }, (_, i) => ({
      ...ROWS[i % 3]!,
      sentence1: `text ${i} `.repeat(9),
      score: i % 11,
    }))
    for (const [name, content] of [
      ['many.jsonl', lines(many)],
      [
        'many.csv',
        'sentence1,sentence2,score\n' + many.map((r) => `${r.sentence1},${quoted(r.sentence2)},${r.score}\n`).join(''),
      ],
    ] as const)
      expect(plain(await sts(await file(name, content)))).toEqual(plain(await sts(many)))
  })
})

describe('pairs that are wrong', () => {
  const good = '{"sentence1":"a","sentence2":"b","score":1}\n'
  test.each<[string, string | Buffer, string, object?]>([
    ['x.jsonl', good + '{"sentence1":"a"', 'Expected JSON in line 2 of path but found "{'],
    ['x.jsonl', good + '\n[1]\n', 'Expected a JSON object in line 3 of path but found an array of 1'],
    [
      'x.jsonl',
      good + '{"sentence1":"a","score":1}\n',
      'Expected "sentence2" in line 2 of path but found "sentence1", "score"',
    ],
    [
      'x.jsonl',
      good + '{"sentence1":"a","sentence_2":"b","score":1}',
      'the option columns names other columns, such as "sentence_2"',
    ],
    [
      'x.jsonl',
      '{"sentence1":"a","sentence2":5,"score":1}',
      'Expected a text for sentence2 in line 1 of path but found 5',
    ],
    [
      'x.jsonl',
      good + '{"sentence1":"a","sentence2":"b","score":"1"}',
      'Expected a number for score in line 2 of path but found "1"',
    ],
    [
      'x.jsonl',
      good + '{"sentence1":"a","sentence2":"b","score":null}',
      'Expected a number for score in line 2 of path but found null',
    ],
    [
      'x.csv',
      'sentence1,sentence2,score\na,b,1\na,b,one\n',
      'Expected a number for score in line 3 of path but found "one"',
    ],
    ['x.csv', 'sentence1,sentence2,score\na,b,1\na,b,\n', 'Expected a number for score in line 3 of path but found ""'],
    ['x.csv', 'sentence1,sentence2,score\na,b,1\na,b\n', 'Cannot read line 3 of path'],
    ['x.csv', 'sentence1,sentence2,score\na,b,1\na,"b,1\n', 'Cannot read line'],
    ['x.csv', 'a,b,1\n', 'Expected the column "sentence1" in line 1 of path but found "a", "b", "1"; name or number'],
    ['x.csv', 'sentence1,score,score\na,1,2\n', 'Expected the column "sentence2" in line 1 of path'],
    ['x.csv', 'sentence1,sentence2,score,score\na,b,1,2\n', 'Expected one column "score" in path but found several'],
    ['x.csv', 'a,b,1\n', 'Expected column 4 in path but found 3 columns', { columns: [1, 2, 4] }],
    [
      'x.csv',
      Buffer.from('sentence1,sentence2,score\na,b,1\nb\xff,c,1\n', 'latin1'),
      'Expected UTF-8 in line 3 of path',
    ],
    ['x.jsonl', Buffer.from([...Buffer.from(good + '{"sentence1":"'), 0xe4, 0xb8]), 'Expected UTF-8 in line 2 of path'],
    ['x.jsonl.gz', 'not gzip', 'Cannot read path: '],
    ['x.arrow', 'ARROW1', 'Expected a .jsonl, .csv, .tsv or .parquet file but received path'],
    ['x.parquet', 'PAR1', 'Cannot read path as parquet: '],
    ['x.parquet.gz', 'PAR1', 'Expected parquet, packed in itself, for path'],
    ['x.csv', '', 'Expected at least 2 pairs for a correlation but found 0'],
    ['x.jsonl', good, 'Expected at least 2 pairs for a correlation but found 1'],
    ['x.jsonl', good + good, 'Expected scores that differ but found 1 for all 2 pairs'],
  ])('%s: %j', async (name, content, message, options = {}) => {
    const data = await file(name, content)
    await refused(sts(data, options), message, data)
  })

  test('far into a file', async () => {
    const filler = 'with some words to fill the line'
    const numbers = Array.from({ length: 20_000 }, (_, i) => i)
    const rows = numbers.map((i) => ({ sentence1: `text ${i}`, sentence2: filler, score: i === 15_000 ? 'x' : i }))
    const jsonl = await file('long.jsonl', lines(rows))
    await refused(sts(jsonl), 'Expected a number for score in line 15001 of path', jsonl)
    const table = `sentence1,sentence2,score\n${rows.map((row) => Object.values(row).join(',') + '\n').join('')}`
    const csv = await file('long.csv', table)
    await refused(sts(csv), 'Expected a number for score in line 15002 of path', csv)
    const latin1 = await file('latin1.csv', Buffer.from(table.replace('text 12345', 'te\xe4xt'), 'latin1'))
    await refused(sts(latin1), 'Expected UTF-8 in line 12347 of path', latin1)
  })

  test('no such file, a directory', async () => {
    const data = path.join(folder.path(), 'none.csv')
    await refused(sts(data), 'Cannot read path: there is no such file', data)
    const directory = path.join(folder.path(), 'directory.csv')
    await mkdir(directory)
    await refused(sts(directory), 'Expected test.jsonl, .csv, .tsv or .parquet in path but found nothing', directory)
  })

  test.each<[unknown, string]>([
    [{ sentence1: 'a', sentence2: 'b' }, 'Expected "score" in data[1] but found "sentence1", "sentence2"'],
    [{ sentence1: 'a', sentence2: 'b', score: NaN }, 'Expected a number for score in data[1] but found NaN'],
    [{ sentence1: null, sentence2: 'b', score: 1 }, 'Expected a text for sentence1 in data[1] but found null'],
    [null, 'Expected an object with sentence1, sentence2, score for data[1] but received null'],
    [['a', 'b', 1], 'Expected an object with sentence1, sentence2, score for data[1] but received an array of 3'],
  ])('in memory: %j', async (row, message) => {
    await refused(sts([ROWS[0]!, row as never]), message)
  })

  test('in memory: a getter that throws', async () => {
    const thrown = (): never => {
      throw new Error('mine')
    }
    const row = Object.defineProperty({ ...ROWS[0]! }, 'score', { get: thrown })
    await refused(sts([ROWS[0]!, row]), 'Reading data[1] failed: mine')
  })
})

test('triplets and translations from files', async () => {
  const triplets = [
    ['abc', 'abd', 'xxxxxxx'],
    ['aaaa', 'bbbbbbbbbb', 'aaab'],
  ]
  const names = ['anchor', 'positive', 'negative']
  const rows = triplets.map((row) => Object.fromEntries(row.map((text, i) => [names[i]!, text])))
  const memory = { task: 'triplet', data: rows, similarityFnNames: 'euclidean' } as unknown as Evaluator
  const stored = {
    ...memory,
    data: await file('t.csv', [names, ...triplets].map((row) => row.join(',') + '\n').join('')),
  } as Evaluator
  expect(plain(await evaluate(model, stored))).toEqual(plain(await evaluate(model, memory)))
  expect((await evaluate(model, memory)).metrics).toEqual({ euclidean_accuracy: 0.5 })
  const pairs = await file('p.tsv', 'english\tfrench\nabc\tabd\nzzzzzzzz\tzzzzzzzy\n')
  const { metrics, rows: count } = await evaluate(model, {
    task: 'bitext',
    data: pairs,
    columns: ['english', 'french'],
  })
  expect(metrics).toEqual({ src2trg_accuracy: 1, trg2src_accuracy: 1, mean_accuracy: 1 })
  expect(count).toBe(2)
  for (const task of ['triplet', 'bitext'] as const)
    await refused(evaluate(model, { task, data: [] }), 'but found none')
})
