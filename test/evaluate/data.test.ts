/** Where rows come from, and what is wrong with them: every failure has a code, and names file and line. */
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  evaluate,
  type Evaluation,
  type Evaluator,
  type RetrievalEvaluator,
  type StsEvaluator,
} from '../../src/index.js'
import { lookup } from './support/table.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'embedcore-evaluate-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** Two numbers that tell the texts of these tests apart. */
const model = lookup((text) => [text.length, (text.codePointAt(0) ?? 0) % 7])

let files = 0
async function file(name: string, content: string | Buffer): Promise<string> {
  const made = path.join(folder, `${files++}-${name}`)
  await writeFile(made, content)
  return made
}

const ROWS = [
  { sentence1: 'a "small" cat', sentence2: 'a kitten, in short', score: 4.5 },
  { sentence1: 'tax law', sentence2: 'Ärger\tim Büro', score: 0 },
  { sentence1: 'line\nbreak', sentence2: '猫', score: 2 },
]
const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`
const table = (delimiter: string, header = true): string =>
  (header ? ['sentence1', 'sentence2', 'score'].join(delimiter) + '\n' : '') +
  ROWS.map((row) => [quoted(row.sentence1), quoted(row.sentence2), row.score].join(delimiter) + '\n').join('')
const lines = (rows: readonly object[]): string => rows.map((row) => JSON.stringify(row) + '\n').join('')

const sts = (data: StsEvaluator['data'], options: object = {}): Promise<Evaluation> =>
  evaluate(model, { task: 'sts', data, ...options })
const plain = ({ seconds: _seconds, ...rest }: Evaluation): object => rest

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

/** `path` stands for the path of the file. */
const refused = async (call: Promise<unknown>, message: string, data: string): Promise<void> => {
  await expect(call).rejects.toMatchObject({
    code: 'ERR_EMBEDCORE_INVALID_DATA',
    message: expect.stringContaining(message.replaceAll('path', data)) as string,
  })
}

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
    ['x.parquet', 'PAR1', 'Expected a .jsonl, .csv or .tsv file but received path'],
    ['x.csv', '', 'Expected at least 2 pairs for a correlation but found 0'],
    ['x.jsonl', good, 'Expected at least 2 pairs for a correlation but found 1'],
    ['x.jsonl', good + good, 'Expected scores that differ but found 1 for all 2 pairs'],
  ])('%s: %j', async (name, content, message, options = {}) => {
    const data = await file(name, content)
    await refused(sts(data, options), message, data)
  })

  test('no such file, a directory', async () => {
    const data = path.join(folder, 'none.csv')
    await refused(sts(data), 'Cannot read path: there is no such file', data)
    const directory = path.join(folder, 'directory.csv')
    await mkdir(directory)
    await refused(sts(directory), 'Cannot read path: it is a directory', directory)
  })

  test.each<[unknown, string]>([
    [{ sentence1: 'a', sentence2: 'b' }, 'Expected "score" in data[1] but found "sentence1", "sentence2"'],
    [{ sentence1: 'a', sentence2: 'b', score: NaN }, 'Expected a number for score in data[1] but found NaN'],
    [{ sentence1: null, sentence2: 'b', score: 1 }, 'Expected a text for sentence1 in data[1] but found null'],
    [null, 'Expected an object with sentence1, sentence2, score for data[1] but received null'],
    [['a', 'b', 1], 'Expected an object with sentence1, sentence2, score for data[1] but received an array of 3'],
  ])('in memory: %j', async (row, message) => {
    await refused(sts([ROWS[0]!, row as never]), message, '')
  })

  test('in memory: a getter that throws', async () => {
    const thrown = (): never => {
      throw new Error('mine')
    }
    const row = Object.defineProperty({ ...ROWS[0]! }, 'score', { get: thrown })
    await refused(sts([ROWS[0]!, row]), 'Reading data[1] failed: mine', '')
  })
})

describe('queries, documents and judgments', () => {
  const queries = { q1: 'red', q2: 'green!', 3: 'blue' }
  const corpus = { d1: 'a red one', d2: 'none', 10: 'what is blue', d4: 'green' }
  const relevantDocs = { q1: ['d1'], q2: ['d4', 'd2'], 3: [10] }
  const expected = (): Promise<Evaluation> =>
    evaluate(model, { task: 'retrieval', queries, corpus, relevantDocs } as RetrievalEvaluator)
  const run = (parts: object): Promise<Evaluation> =>
    evaluate(model, { task: 'retrieval', queries, corpus, relevantDocs, ...parts } as RetrievalEvaluator)
  const judgments = [
    ['q1', 'd1', 1],
    ['q2', 'd4', 2],
    ['q2', 'd2', 1],
    ['q2', 'd1', 0],
    ['q1', 'd2', -1],
    ['3', '10', 1],
  ] as const

  test.each<[string, () => Promise<object>]>([
    [
      'maps',
      async () => ({
        queries: new Map(Object.entries(queries)),
        corpus: new Map<string | number, string>([
          ['d1', 'a red one'],
          ['d2', 'none'],
          [10, 'what is blue'],
          ['d4', 'green'],
        ]),
        relevantDocs: new Map<string | number, unknown>([
          ['q1', new Set(['d1'])],
          [
            'q2',
            new Map([
              ['d4', 2],
              ['d2', 1],
              ['d1', 0],
            ]),
          ],
          [3, [10]],
        ]),
      }),
    ],
    [
      'grades in objects',
      async () => ({ relevantDocs: { q1: { d1: 1, d2: -1 }, q2: { d4: 2, d2: 0.5, d1: 0 }, 3: { 10: 1 } } }),
    ],
    [
      'rows',
      async () => ({
        queries: [
          { _id: 'q1', text: 'red' },
          { _id: 'q2', text: 'green!' },
          { _id: 3, text: 'blue' },
        ],
        corpus: [
          { _id: 'd1', title: 'a', text: 'red one' },
          { _id: 'd2', title: '', text: 'none' },
          { _id: '10', title: 'what is', text: 'blue' },
          { _id: 'd4', text: 'green' },
        ],
      }),
    ],
    [
      'jsonl',
      async () => ({
        queries: await file(
          'q.jsonl',
          lines([
            { _id: 'q1', text: 'red' },
            { id: 'q2', text: 'green!', metadata: {} },
            { _id: 3, text: 'blue' },
          ]),
        ),
        corpus: await file(
          'c.jsonl.gz',
          gzipSync(
            lines([
              { _id: 'd1', title: 'a', text: 'red one' },
              { _id: 'd2', text: 'none' },
              { _id: 10, text: 'what is blue' },
              { _id: 'd4', title: null, text: 'green' },
            ]),
          ),
        ),
        relevantDocs: await file(
          'r.jsonl',
          lines(judgments.map(([query, document, score]) => ({ 'query-id': query, 'corpus-id': document, score }))),
        ),
      }),
    ],
    [
      'tables',
      async () => ({
        queries: await file('q.tsv', 'q1\tred\nq2\tgreen!\n3\tblue\n'),
        corpus: await file('c.csv', 'id,title,text\nd1,a,red one\nd2,,none\n10,what is,blue\nd4,"",green\n'),
        relevantDocs: await file(
          'r.csv',
          'query-id,corpus-id,score\n' + judgments.map((row) => row.join(',') + '\n').join(''),
        ),
      }),
    ],
    [
      'TREC qrels',
      async () => ({
        relevantDocs: await file('qrels.txt', judgments.map(([q, d, grade]) => `${q} 0  ${d}\t${grade}\n`).join('')),
      }),
    ],
    [
      'a table without a header',
      async () => ({
        relevantDocs: await file('r.tsv', judgments.map((row) => row.join('\t') + '\r\n').join('') + '\n'),
      }),
    ],
  ])('%s', async (_, parts) => {
    expect(plain(await run(await parts()))).toEqual(plain(await expected()))
  })

  test('the layout of BEIR', async () => {
    const directory = path.join(folder, 'beir')
    await mkdir(path.join(directory, 'qrels'), { recursive: true })
    const texts = (entries: object): string =>
      lines(Object.entries(entries).map(([_id, text]) => ({ _id, title: '', text: text as string })))
    await writeFile(path.join(directory, 'queries.jsonl'), texts(queries))
    await writeFile(path.join(directory, 'corpus.jsonl.gz'), gzipSync(texts(corpus)))
    const qrels = 'query-id\tcorpus-id\tscore\n' + judgments.map((row) => row.join('\t') + '\n').join('')
    await writeFile(path.join(directory, 'qrels', 'dev.tsv'), qrels)
    const result = await evaluate(model, { task: 'retrieval', data: directory, split: 'dev' })
    expect(plain(result)).toEqual(plain(await expected()))
    await refused(
      evaluate(model, { task: 'retrieval', data: directory }),
      `Expected ${path.join('qrels', 'test.tsv')} or `,
      '',
    )
    await refused(evaluate(model, { task: 'retrieval', data: directory }), 'but found "dev.tsv"', '')
    await refused(evaluate(model, { task: 'retrieval', data: folder + '/nowhere' }), 'but found nothing in', '')
  })

  test.each<[string, () => Promise<object>, string]>([
    [
      'a repeated id',
      async () => ({ corpus: await file('c.jsonl', '{"_id":"a","text":"b"}\n{"_id":"a","text":"c"}\n') }),
      'Expected every id once but found "a" again in line 2 of ',
    ],
    [
      'a repeated id in memory',
      async () => ({
        queries: [
          { _id: 1, text: 'b' },
          { _id: '1', text: 'c' },
        ],
      }),
      'Expected every id once but found "1" again in queries[1]',
    ],
    [
      'no id',
      async () => ({ queries: await file('q.jsonl', '{"_id":"a","text":"b"}\n\n{"text":"b"}\n') }),
      'Expected "_id" and "text" in line 3 of ',
    ],
    [
      'a fraction as id',
      async () => ({ queries: await file('q.jsonl', '{"_id":1.5,"text":"b"}\n') }),
      'Expected an id (a text or a whole number) in line 1 of ',
    ],
    ['a text that is none', async () => ({ corpus: { a: 5 } }), 'Expected a text in corpus["a"] but found 5'],
    [
      'a table of three columns without a header',
      async () => ({ corpus: await file('c.tsv', 'a\tb\tc\n') }),
      'in line 1 of ',
    ],
    [
      'a grade that is none',
      async () => ({ relevantDocs: await file('r.txt', 'q1 0 d1 1\nq1 0 d2 x\n') }),
      'Expected a number for the grade in line 2 of ',
    ],
    [
      'a first grade that is none',
      async () => ({ relevantDocs: await file('r.tsv', 'q1\td1\tx\n') }),
      'Expected a number for the grade in line 1 of ',
    ],
    ['other fields', async () => ({ relevantDocs: await file('r.txt', 'q1 d1\n') }), 'in line 1 of '],
    [
      'judgments in memory',
      async () => ({ relevantDocs: { q1: 5 } }),
      'Expected ids of documents in relevantDocs of the query "q1" but found 5',
    ],
    [
      'grades in memory',
      async () => ({ relevantDocs: { q1: { d1: 'x' } } }),
      'Expected a number for "d1" in relevantDocs of the query "q1" but found "x"',
    ],
    [
      'no query',
      async () => ({ relevantDocs: { other: ['d1'] } }),
      'found none among 3 queries; the judgments are of other ids, such as "other"',
    ],
    [
      'no relevant document',
      async () => ({ relevantDocs: { q1: { d1: 0 } } }),
      'found none among 3 queries; no document is relevant',
    ],
    [
      'documents of another corpus',
      async () => ({ relevantDocs: { q1: ['x'] } }),
      'Expected relevant documents in the corpus of 4 but found none of them, such as "x"',
    ],
  ])('refused: %s', async (_, parts, message) => {
    await refused(run(await parts()), message, '')
  })

  test('relevant documents that are not in the corpus lower recall, and are warned of', async () => {
    const warnings: { code?: string; message: string }[] = []
    const listen = (warning: Error & { code?: string }): void => void warnings.push(warning)
    process.on('warning', listen)
    const whole = await run({ relevantDocs: { q1: ['d1'] } })
    const less = await run({ relevantDocs: { q1: ['d1', 'gone'] } })
    await new Promise(setImmediate)
    process.off('warning', listen)
    expect(less.metrics['cosine_recall@10']).toBe(whole.metrics['cosine_recall@10']! / 2)
    expect(warnings).toMatchObject([
      {
        code: 'EMBEDCORE_MISSING_DOCUMENTS',
        message: '1 relevant document is not in the corpus, such as "gone", and counted as not found',
      },
    ])
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
    await refused(evaluate(model, { task, data: [] }), 'but found none', '')
})
