import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fakeCore, run } from '../support/fake-core.js'

let folder: string
let sts: string
const file = async (name: string, content: string): Promise<string> => {
  await writeFile(path.join(folder, name), content)
  return path.join(folder, name)
}
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'embedcore-cli-evaluate-'))
  sts = await file('sts.csv', 'sentence1,sentence2,score\na b,c d,1\nx,y z,3\nred,green tea,2\n')
})
afterAll(() => rm(folder, { recursive: true }))

describe('evaluate', () => {
  test('text', async () => {
    const core = fakeCore()
    const { code, text } = await run(['evaluate', '-m', './m', '-t', 'sts', '-d', sts, '--name', 'dev'], { core })
    expect(code).toBe(0)
    expect(core.loads[0]!.model).toBe('./m')
    expect(core.disposed).toBe(1)
    const number = '-?[01]\\.\\d{4}'
    expect(text).toMatch(new RegExp(`^fake: dev_spearman_cosine ${number} \\(3 pairs, \\d+\\.\\d s\\)\n\n`))
    expect(text).toMatch(new RegExp(`\n\ndev_pearson_cosine +${number}\ndev_spearman_cosine +${number}\n$`))
  })

  test('--json is the result on one line', async () => {
    const { code, lines, err } = await run(['evaluate', '--task', 'sts', '--data', sts, '--json'])
    expect([code, err]).toEqual([0, ''])
    expect(lines).toEqual([
      {
        model: 'fake',
        task: 'sts',
        name: '',
        primaryMetric: 'spearman_cosine',
        score: expect.any(Number),
        metrics: { pearson_cosine: expect.any(Number), spearman_cosine: expect.any(Number) },
        rows: 3,
        documents: 0,
        texts: 6,
        tokens: expect.any(Number),
        seconds: expect.any(Number),
      },
    ])
  })

  test('flags become options of the evaluator and of encode', async () => {
    const core = fakeCore()
    const flags = [
      '--columns',
      '1,2,3',
      '--dimensions',
      '3',
      '--precision',
      'int8',
      '--prompt',
      'p: ',
      '--batch-size',
      '2',
    ]
    const measures = ['--similarity-fn-names', 'dot,manhattan', '--main-similarity', 'manhattan']
    const bare = await file('bare.csv', 'a b,c d,1\nx,y z,3\nred,green tea,2\n')
    const { code, lines } = await run(['evaluate', '-t', 'sts', '-d', bare, ...flags, ...measures, '--json'], { core })
    expect(code).toBe(0)
    expect(lines[0]).toMatchObject({ primaryMetric: 'spearman_manhattan', rows: 3 })
    expect(
      core.calls.map(({ texts, options }) => [texts.length, options.dimensions, options.normalize, options.prompt]),
    ).toEqual([
      [4, 3, true, 'p: '],
      [2, 3, true, 'p: '],
    ])
  })

  test('triplets', async () => {
    const data = await file('t.jsonl', '{"anchor":"a","positive":"a","negative":"zzzz"}\n')
    const { lines } = await run([
      'evaluate',
      '-t',
      'triplet',
      '-d',
      data,
      '--json',
      '--similarity-fn-names',
      'euclidean',
    ])
    expect(lines[0]).toMatchObject({ metrics: { euclidean_accuracy: 1 } })
    const far = ['--margin', '1e9']
    expect((await run(['evaluate', '-t', 'triplet', '-d', data, '--json', ...far])).lines[0]).toMatchObject({
      score: 0,
    })
  })

  test('retrieval of three files', async () => {
    const files = [
      ...['--queries', await file('q.tsv', 'q1\tred\nq2\tblue\n')],
      ...['--corpus', await file('c.jsonl', '{"_id":"1","text":"red"}\n{"_id":"2","text":"something blue"}\n')],
      ...['--relevant-docs', await file('qrels.txt', 'q1 0 1 1\nq2 0 2 1\n')],
    ]
    const { code, lines } = await run(['evaluate', '-t', 'retrieval', ...files, '--ndcg-at-k', '1, 2', '--json'])
    expect(code).toBe(0)
    expect(lines[0]).toMatchObject({ primaryMetric: 'cosine_ndcg@2', rows: 2, documents: 2 })
    const { text } = await run(['evaluate', '-t', 'retrieval', ...files])
    expect(text).toMatch(/^fake: cosine_ndcg@10 1?0?\.\d{4} \(2 queries, 2 documents, /)
  })

  test.each([
    ['-2', 0],
    ['1.1', 1],
  ])('--min-score %s: exit code %i, after the result', async (least, expected) => {
    const { code, lines } = await run(['evaluate', '-t', 'sts', '-d', sts, '--json', '--min-score', least])
    expect([code, lines.length]).toEqual([expected, 1])
  })

  test('below --min-score is told', async () => {
    const argv = ['evaluate', '-t', 'sts', '-d', sts, '--min-score', '1.1']
    expect((await run(argv)).err).toMatch(/^embedcore: spearman_cosine is -?[\d.]+, below --min-score 1\.1\n$/)
    const { err } = await run([...argv, '--json'])
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'ERR_CLI_MIN_SCORE' } })
  })

  test('data that are wrong: exit code 3, with file and line', async () => {
    const data = await file('wrong.csv', 'sentence1,sentence2,score\na,b,1\na,b,x\n')
    const { code, err } = await run(['evaluate', '-t', 'sts', '-d', data])
    expect(code).toBe(3)
    expect(err).toBe(
      `embedcore: Expected a number for score in line 3 of ${data} but found "x" (ERR_EMBEDCORE_INVALID_DATA)\n`,
    )
    expect((await run(['evaluate', '-t', 'sts', '-d', path.join(folder, 'none.csv')])).code).toBe(3)
  })

  test.each([
    [[], '--task says what is evaluated: sts, retrieval, triplet, bitext'],
    [['--task', 'st'], 'token-classification, geometry, but "st" was given; did you mean sts?'],
    [['--task', 'sts'], '--data names the file of rows'],
    [['--task', 'sts', 'x.csv'], 'evaluate takes no arguments but flags, and "x.csv" was given'],
    [['--task', 'sts', '--margin', '1'], '--margin is for --task triplet, not sts'],
    [['--task', 'bitext', '--precision', 'int8'], '--precision is for --task sts, not bitext'],
    [
      ['--task', 'retrieval'],
      'retrieval needs --data DIR, or --queries, --corpus and --relevant-docs; --queries is absent',
    ],
    [['--task', 'retrieval', '--queries', 'a', '--corpus', 'b'], '--relevant-docs is absent'],
    [['--task', 'retrieval', '--data', 'a', '--corpus', 'b'], '--data and --corpus exclude each other'],
    [
      ['--task', 'retrieval', '--data', 'a', '--map-at-k', '5,x'],
      '--map-at-k takes whole numbers from 1, parted by commas',
    ],
    [['--task', 'sts', '--data', 'a', '--min-score', 'high'], '--min-score takes a number, but "high" was given'],
    [['--task', 'sts', '--dta', 'a'], 'unknown flag --dta; did you mean --data?'],
  ])('usage: %j', async (argv, message) => {
    const core = fakeCore()
    const { code, err } = await run(['evaluate', ...argv], { core })
    expect(code).toBe(2)
    expect(err).toContain(message)
    expect(err).toContain('See: embedcore help evaluate\n')
    expect(core.loads).toEqual([])
  })
})

describe('evaluate: tasks, runs, baselines', () => {
  const rows = Array.from({ length: 12 }, (_, i) => ({
    text: 'ab'[i % 2]!.repeat(1 + (i % 5)),
    label: i % 2,
    lang: 'en',
  }))
  const jsonl = (list: readonly object[]): string => list.map((row) => JSON.stringify(row) + '\n').join('')

  test('flags of the tasks become options', async () => {
    const data = await file('labels.jsonl', jsonl(rows))
    const flags = ['--train', data, '--samples-per-label', 'all', '--views', 'lang,length']
    const classification = await run(['evaluate', '-t', 'classification', '-d', data, ...flags, '--json'])
    expect(classification.lines[0]).toMatchObject({ task: 'classification', rows: 12, views: [{ view: 'lang' }, {}] })
    const clustering = ['-t', 'clustering', '-d', data, '--experiments', '2', '--seed', '3', '--json']
    expect((await run(['evaluate', ...clustering])).lines[0]).toMatchObject({ primaryMetric: 'v_measure' })
    const geometry = await run(['evaluate', '-t', 'geometry', '-d', data])
    expect(geometry.text).toMatch(/^fake: isoscore [\d.]+ \(12 texts/)
  })

  test('--run prints the measures of trec_eval, and no model is loaded', async () => {
    const found = await file('run.trec', 'q1 Q0 a 1 0.9 bm25\nq1 Q0 b 2 0.8 bm25\nq2 Q0 a 1 0.5 bm25\n')
    const qrels = await file('qrels.txt', 'q1 0 b 1\nq3 0 a 1\n')
    const core = fakeCore()
    const measures = ['--measures', 'map,recip_rank,P_10,num_ret,ndcg_cut_10']
    const { code, lines } = await run(['evaluate', '--run', found, '--qrels', qrels, ...measures, '--json'], { core })
    expect([code, core.loads]).toEqual([0, []])
    expect(lines[0]).toMatchObject({
      model: 'bm25',
      task: 'run',
      metrics: { map: 1 / 2, recip_rank: 1 / 2, P_10: 1 / 10, num_ret: 2, ndcg_cut_10: 1 / Math.log2(3) },
      unjudgedQueries: 1,
      missingQueries: 1,
    })
    const { text } = await run(['evaluate', '--run', found, '--qrels', qrels, '--complete', '--measures', 'map,num_q'])
    expect(text).toContain('map    0.2500\nnum_q  2\n')
    const wrong = await file('wrong.trec', 'q1 Q0 a 1\n')
    const refused = await run(['evaluate', '--run', wrong, '--qrels', qrels])
    expect([refused.code, refused.err]).toEqual([3, expect.stringContaining(`in line 1 of ${wrong}`)])
  })

  test('--baseline: exit code 1 when the score fell; files are written', async () => {
    const names = ['base.json', 'items.jsonl', 'page.html', 'mteb', 'found.trec']
    const [base, items, html, mteb] = names.map((name) => path.join(folder, name)) as [string, string, string, string]
    const evaluate = ['evaluate', '-t', 'sts', '-d', sts]
    const writing = ['--write-baseline', base, '--write-items', items, '--write-mteb', mteb]
    expect((await run([...evaluate, ...writing])).code).toBe(0)
    expect((await run([...evaluate, '--baseline', base, '--html', html, '--compare', base])).code).toBe(0)
    expect((await readFile(items, 'utf8')).trim().split('\n')).toHaveLength(3)
    expect(await readFile(html, 'utf8')).toContain('<svg')
    expect(await readFile(path.join(mteb, 'fake/no_revision/sts.json'), 'utf8')).toContain('cosine_spearman')
    const kept = JSON.parse(await readFile(base, 'utf8')) as { score: number }
    await writeFile(base, JSON.stringify({ ...kept, score: kept.score + 0.2 }))
    const { code, err } = await run([...evaluate, '--baseline', base, '--max-drop', '0.1', '--json'])
    expect(code).toBe(1)
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'ERR_CLI_BASELINE' } })
    expect((await run([...evaluate, '--baseline', base, '--max-drop', '0.3'])).code).toBe(0)
  })

  test.each([
    [['--run', 'a'], '--run needs --qrels FILE'],
    [['--run', 'a', '--qrels', 'b', '--model', 'm'], '--model and --run exclude each other'],
    [['-t', 'sts', '-d', 'a', '--qrels', 'b'], '--qrels is for --run, not for --task'],
    [['-t', 'sts', '-d', 'a', '--max-drop', '1'], '--max-drop needs --baseline FILE'],
    [['-t', 'sts', '-d', 'a', '--train', 'b'], '--train is for --task classification, token-classification, not sts'],
    [['-t', 'clustering', '-d', 'a', '--views', 'b'], 'clustering has no score of each item'],
  ])('usage: %j', async (argv, message) => {
    const { code, err } = await run(['evaluate', ...argv])
    expect([code, err]).toEqual([2, expect.stringContaining(message)])
  })
})
