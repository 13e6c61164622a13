/** Runs worked by hand, and files that are wrong. */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { evaluateRun, type RunOptions, writeRun } from '../../src/index.js'
import { refused, useFolder } from './support/data.js'

const folder = useFolder()
const { file } = folder
const log = (rank: number): number => 1 / Math.log2(rank + 1)

describe('by hand', () => {
  test('graded judgments, a document without one, one that was left out', async () => {
    const run = { q: { a: 5, b: 4, c: 3, d: 2, e: 1 } }
    // b is not judged, d is in the pool but not judged, f is relevant and not found.
    const qrels = { q: { a: 0, c: 3, d: -1, e: 1, f: 2 } }
    const { metrics, unjudgedDocuments } = await evaluateRun({
      run,
      qrels,
      measures: [
        'map',
        'recip_rank',
        'P_5',
        'P_10',
        'recall_5',
        'ndcg',
        'ndcg_cut_3',
        'Rprec',
        'bpref',
        'num_rel',
        'infAP',
      ],
    })
    expect(unjudgedDocuments).toBe(1)
    const ideal = 3 * log(1) + 2 * log(2) + log(3)
    const close: Record<string, number> = {
      map: (1 / 3 + 2 / 5) / 3, // relevant at ranks 3 and 5, three in all
      recip_rank: 1 / 3,
      P_5: 2 / 5,
      P_10: 2 / 10, // always by k
      recall_5: 2 / 3,
      ndcg: (3 * log(3) + log(5)) / ideal,
      ndcg_cut_3: (3 * log(3)) / ideal,
      Rprec: 1 / 3,
      // One judged document that is not relevant stands before both; min(1, 3) is all there are.
      bpref: (1 - 1 / 1 + (1 - 1 / 1)) / 3,
      num_rel: 3,
      infAP:
        (1 / 3 + (2 / 3) * (1 / 2) * (1e-5 / (1 + 2e-5)) + 1 / 5 + (4 / 5) * (3 / 4) * ((1 + 1e-5) / (2 + 2e-5))) / 3,
    }
    for (const [name, value] of Object.entries(close)) expect(metrics[name], name).toBeCloseTo(value, 14)
  })

  test('equal scores are ordered by id, descending; version 9 sees float32', async () => {
    const qrels = { q: { b: 1, a: 0 } }
    const order = async (run: RunOptions['run'], version: 9 | 10): Promise<number> =>
      (await evaluateRun({ run, qrels, version, measures: ['recip_rank'] })).score
    expect(await order({ q: { a: 1, b: 1 } }, 9)).toBe(1)
    expect(await order({ q: { b: 1, c: 1 } }, 9)).toBe(1 / 2)
    const near = { q: { a: 1 + 1e-9, b: 1 } }
    expect(await order(near, 9)).toBe(1)
    expect(await order(near, 10)).toBe(1 / 2)
    // By code points: U+1F600 is above U+FF21, in UTF-16 it is below.
    const wide = { q: { Ａ: 1, '\u{1F600}': 1 } }
    expect((await evaluateRun({ run: wide, qrels: { q: { Ａ: 1 } }, measures: ['recip_rank'] })).score).toBe(1 / 2)
  })

  test('queries of one side only', async () => {
    const options = {
      run: { q1: { a: 1 }, q2: { a: 1 } },
      qrels: { q1: { a: 1 }, q3: { a: 1, b: 2 } },
      measures: ['map'],
    }
    expect(await evaluateRun(options)).toMatchObject({ score: 1, rows: 1, unjudgedQueries: 1, missingQueries: 1 })
    expect(await evaluateRun({ ...options, complete: true })).toMatchObject({ score: 1 / 2, rows: 2 })
    const nothing = evaluateRun({ ...options, qrels: { q9: { a: 1 } } })
    await refused(nothing, 'Expected a query in both the run and the judgments but found none, such as "q1" in the run')
  })

  test('the document of its own query, documents without a judgment, a limit', async () => {
    const options = { run: { q: { q: 9, x: 8, a: 7 } }, qrels: { q: { a: 1 } }, measures: ['recip_rank'] }
    expect((await evaluateRun(options)).score).toBe(1 / 3)
    expect((await evaluateRun({ ...options, ignoreIdentical: true })).score).toBe(1 / 2)
    expect((await evaluateRun({ ...options, judgedOnly: true })).score).toBe(1)
    expect((await evaluateRun({ ...options, maxDocuments: 2 })).score).toBe(0)
  })
})

test('views, intervals and items of queries', async () => {
  const queries = [
    { _id: 'q1', text: 'ab', language: 'en' },
    { _id: 'q2', text: '猫猫', language: 'zh' },
    { _id: 'q3', text: 'abcdef', language: 'en' },
  ]
  const run = { q1: { a: 1 }, q2: { b: 2, a: 1 }, q3: { c: 1 } }
  const qrels = { q1: { a: 1 }, q2: { a: 1 }, q3: { d: 1 } }
  const views = ['language', 'length', 'popularity']
  const result = await evaluateRun({
    run,
    qrels,
    queries,
    views,
    measures: ['recip_rank'],
    intervals: true,
    items: true,
  })
  expect(result.views!.map(({ view, worst }) => [view, worst])).toEqual([
    ['language', 'en'],
    ['length', '5–6 characters'],
    ['popularity', 'tail'],
  ])
  expect(result.views!.map(({ groups }) => groups.map(({ group, items, score }) => [group, items, score]))).toEqual([
    [
      ['en', 2, 0.5],
      ['zh', 1, 0.5],
    ],
    [
      ['2 characters', 2, 0.75],
      ['5–6 characters', 1, 0],
    ],
    // a is the most popular document, of two.
    [
      ['head', 2, 0.75],
      ['tail', 1, 0],
    ],
  ])
  expect(result.items).toMatchObject({ statistic: 'mean', ids: ['q1', 'q2', 'q3'], values: [1, 0.5, 0] })
  expect(result.interval!.low).toBeLessThanOrEqual(0.5)
  expect(result.interval!.high).toBeGreaterThanOrEqual(0.5)
})

describe('files', () => {
  const good = 'q Q0 a 1 0.5 mine\n'
  test.each<[string, string | Buffer]>([
    ['plain', good + 'q\tQ0\tb\t2\t0.25\tmine more\n'],
    ['crlf', (good + 'q Q0 b 2 0.25 mine\n').replaceAll('\n', '\r\n')],
    ['comments and blank lines', `# run\n\n  ${good}\n#\nq Q0 b 2 2.5e-1 mine`],
    ['gz.gz', gzipSync(good + 'q Q0 b 2 0.25 mine\n')],
  ])('%s', async (name, content) => {
    const run = await file(`${name}.trec`.replace('.gz.trec', '.trec.gz'), content)
    const qrels = await file('qrels.txt', '# judged\nq 0 b 1\n')
    expect(await evaluateRun({ run, qrels, measures: ['recip_rank'] })).toMatchObject({ score: 1 / 2, runId: 'mine' })
  })

  test.each([
    [
      good + 'q Q0 b 2 0.25\n',
      'Expected the six fields of TREC (query Q0 document rank score run) in line 2 of path but found 5',
    ],
    [good + 'q Q0 b 2 high mine\n', 'Expected a number for the score in line 2 of path but found "high"'],
    [good + 'q Q0 b 2 nan mine\n', 'Expected a number for the score in line 2 of path but found "nan"'],
    [good + '\nq Q0 a 2 0.1 mine\n', 'found "a" again for "q" in line 3 of path'],
  ])('run %j', async (content, message) => {
    const run = await file('wrong.trec', content)
    await refused(evaluateRun({ run, qrels: { q: { a: 1 } } }), message, run)
  })

  test.each([
    ['q 0 a 1\nq 0 b 1 x y', 'in line 2 of path but found 6 fields'],
    ['q 0 a one\n', 'Expected a number for the grade in line 1 of path but found "one"'],
    ['q 0 a 1.5\n', 'Expected a whole number for the grade in line 1 of path but found 1.5'],
    ['q 0 a 1\nq 0 a 0\n', 'found "a" again for "q" in line 2 of path'],
  ])('qrels %j', async (content, message) => {
    const qrels = await file('wrong.txt', content)
    await refused(evaluateRun({ run: { q: { a: 1 } }, qrels }), message, qrels)
  })

  test('bytes that are no UTF-8, no such file', async () => {
    const run = await file('latin1.trec', Buffer.from(good + 'q Q0 \xe4 2 0.1 mine\n', 'latin1'))
    await refused(evaluateRun({ run, qrels: { q: { a: 1 } } }), 'Expected UTF-8 in line 2 of path', run)
    const none = path.join(folder.path(), 'none.trec')
    await refused(evaluateRun({ run: none, qrels: { q: { a: 1 } } }), 'Cannot read path: there is no such file', none)
  })

  test('written and read again', async () => {
    const written = path.join(folder.path(), 'written.trec')
    const run = { q: { b: 0.1, a: 1 / 3 }, r: { c: 1 } }
    await writeRun(written, run, { runId: 'me' })
    expect(await readFile(written, 'utf8')).toBe(`q Q0 a 1 ${1 / 3} me\nq Q0 b 2 0.1 me\nr Q0 c 1 1 me\n`)
    const qrels = { q: { b: 1 }, r: { c: 1 } }
    expect((await evaluateRun({ run: written, qrels })).metrics).toEqual((await evaluateRun({ run, qrels })).metrics)
    await refused(writeRun(written, { q: { 'a b': 1 } }), 'Expected an id without blanks for a document')
    await expect(writeRun(path.join(folder.path(), 'no', 'x'), run)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_WRITE_FAILED',
    })
  })
})

test.each<[object, string]>([
  [{ run: { q: { a: 1 } } }, 'for qrels but received undefined'],
  [{ qrels: { q: { a: 1 } } }, 'for run but received undefined'],
  [{ measures: ['ndcg@10'] }, 'Expected names of trec_eval for measures but received "ndcg@10"'],
  [{ measures: ['mapp'] }, 'did you mean "map"?'],
  [{ measures: ['P_0'] }, 'for measures but received "P_0"'],
  [{ primaryMetric: 'num_ret' }, 'Expected one measure that is a mean'],
  [{ version: 8 }, 'Expected 9 or 10 for version but received 8'],
  [{ views: ['language'] }, 'for queries but received undefined'],
  [{ relevance_level: 2 }, 'did you mean "relevanceLevel"?'],
])('options %j', async (options, message) => {
  const base = 'run' in options || 'qrels' in options ? {} : { run: { q: { a: 1 } }, qrels: { q: { a: 1 } } }
  await expect(evaluateRun({ ...base, ...options } as RunOptions)).rejects.toThrow(message)
})
