/** Queries, documents and judgments: every form that they may have, and what is wrong with them. */
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { evaluate, type Evaluation, type RetrievalEvaluator } from '../../src/index.js'
import { lines, model, plain, refused, useFolder } from './support/data.js'

const folder = useFolder()
const { file } = folder

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
    const directory = path.join(folder.path(), 'beir')
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
    await refused(evaluate(model, { task: 'retrieval', data: directory }), 'but found "dev.tsv"')
    await refused(
      evaluate(model, { task: 'retrieval', data: path.join(folder.path(), 'nowhere') }),
      'but found nothing in',
    )
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
    await refused(run(await parts()), message)
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
