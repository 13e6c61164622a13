/** Tasks on small data whose scores are known, data sets of MTEB in directories, and what is refused. */
import { cp, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { type Encoder, evaluate, type Evaluation, evaluateRun, type Evaluator } from '../../src/index.js'
import { entities, entityMetrics } from '../../src/evaluate/learning/entities.js'
import { GOLDEN } from '../support/golden.js'
import { lines, refused, useFolder } from './support/data.js'
import { lookup } from './support/table.js'

const folder = useFolder()
/** Directions by the first letter; what follows turns them a little. */
const model = lookup((text) => {
  const place = 'abc'.indexOf(text[0]!)
  return [0, 1, 2].map((d) => (d === place ? 1 : 0) + (text.length % 5) * 0.01 * (d + 1))
})
const texts = (count: number): { text: string; label: string }[] =>
  Array.from({ length: count }, (_, i) => ({ text: 'abc'[i % 3]! + 'x'.repeat(i % 7), label: `l${i % 3}` }))

test('clusters and classes that are apart are found', async () => {
  const clustering = await evaluate(model, { task: 'clustering', data: texts(60) })
  expect(clustering.metrics).toEqual({ v_measure: 1, v_measure_std: 0, homogeneity: 1, completeness: 1 })
  const several = { task: 'clustering', data: texts(60), experiments: 4, textsPerExperiment: 20 } as const
  const first = await evaluate(model, several, { items: true })
  expect(first.items!.values).toHaveLength(4)
  expect((await evaluate(model, several)).metrics).toEqual(first.metrics)

  const train = texts(30)
  // One of twenty has a label that no example has.
  const data = [...texts(19), { text: 'a', label: 'unseen' }]
  const few = await evaluate(
    model,
    { task: 'classification', data, train, samplesPerLabel: 3, experiments: 2 },
    { items: true },
  )
  expect(few).toMatchObject({ primaryMetric: 'accuracy', rows: 20, score: 19 / 20 })
  expect(few.items!.values.at(-1)).toBe(0)
  // F1 of the classes: 14 / 15 where the stranger is taken for a, 1, 1, and 0 of the stranger's own.
  expect(few.metrics.f1).toBeCloseTo((14 / 15 + 1 + 1 + 0) / 4, 12)
  // Examples that are not drawn are not encoded: 3 of each of 3 labels at most twice.
  expect(few.texts).toBeLessThanOrEqual(20 + 18)
  const probe = await evaluate(model, { task: 'classification', data, train, samplesPerLabel: 'all' })
  expect(probe.metrics).toMatchObject({ accuracy: 19 / 20, accuracy_std: 0 })
})

test('names of labels', async () => {
  const data = texts(12)
  const labels = { l0: 'a', l1: ['zz', 'bbbb'], l2: 'c' }
  const calls = lookup((text) =>
    /^<[abc]/.test(text) ? [0, 1, 2].map((d) => Number('abc'[d] === text[1])) : [1, 1, 1],
  )
  expect((await evaluate(model, { task: 'zero-shot', data, labels })).metrics).toEqual({
    accuracy: 1,
    f1: 1,
    f1_weighted: 1,
  })
  await evaluate(calls, { task: 'zero-shot', data, labels, template: '<{}>' })
  expect(calls.calls[0]!.texts).toEqual(['<a>', '<zz>', '<bbbb>', '<c>'])
  await refused(
    evaluate(model, { task: 'zero-shot', data, labels: { l0: 'a', l1: 'b' } }),
    'found none for "l2" in labels',
  )
})

test('every language against every other', async () => {
  // Languages are the case; c and d of the second language are turned round.
  const vectors: Record<string, number[]> = {
    a: [1, 0, 0],
    b: [0, 1, 0],
    A: [0.9, 0.1, 0],
    B: [0.1, 0.9, 0],
    x: [0, 1, 0.1],
    y: [1, 0, 0.1],
  }
  const made = lookup((text) => vectors[text]!)
  const data = [
    { en: 'a', fr: 'A', de: 'x' },
    { en: 'b', fr: 'B', de: 'y' },
  ]
  const { metrics } = await evaluate(made, { task: 'bitext-matrix', data, languages: ['en', 'fr', 'de'] })
  expect(metrics).toMatchObject({
    'en-fr_accuracy': 1,
    'fr-en_accuracy': 1,
    'en-de_accuracy': 0,
    'de-fr_accuracy': 0,
    mean_accuracy: 2 / 6,
    worst_accuracy: 0,
    own_language_share: 0,
  })
})

test('words with tags', async () => {
  const encodeTokens: Encoder['encodeTokens'] = async (sentences) => {
    // A special token, then one token for each half of a word, with the blank before it.
    const rows: number[][] = []
    const offsets: number[] = []
    const tokenCounts = Int32Array.from(sentences, (sentence) => {
      rows.push([9, 9])
      offsets.push(0, 0)
      let count = 1
      for (const { index, 0: word } of sentence.matchAll(/\S+/g)) {
        const half = index + Math.ceil(word.length / 2)
        for (const [from, to] of [
          [Math.max(0, index - 1), half],
          [half, index + word.length],
        ] as const) {
          if (to <= from) continue
          rows.push([/^[A-Z]/.test(word) ? 1 : 0, word.length % 2])
          offsets.push(from, to)
          count++
        }
      }
      return count
    })
    const data = Float32Array.from(rows.flat())
    return { data, shape: [rows.length, 2], tokenCounts, charOffsets: Int32Array.from(offsets) }
  }
  const made: Encoder = { ...model, encodeTokens }
  const row = (sentence: string): { tokens: string[]; tags: string[] } => {
    const tokens = sentence.split(' ')
    return { tokens, tags: tokens.map((word) => (/^[A-Z]/.test(word) ? 'B-PER' : 'O')) }
  }
  const train = ['Anna met Bo in town', 'we saw Cleo', 'Dora I know well'].map(row)
  const evaluator: Evaluator = {
    task: 'token-classification',
    train,
    data: [row('then Eva left'), row('Finn stays here')],
  }
  const { metrics, primaryMetric, rows } = await evaluate(made, evaluator)
  expect([primaryMetric, rows]).toEqual(['entity_f1', 2])
  expect(metrics).toEqual({ accuracy: 1, f1: 1, entity_precision: 1, entity_recall: 1, entity_f1: 1 })
  await expect(evaluate(model, evaluator)).rejects.toThrow('Expected an encoder with encodeTokens')
  await refused(
    evaluate(made, { ...evaluator, train: [{ tokens: ['a'], tags: [] }] } as Evaluator),
    'Expected a tag for each word but found 1 words and 0 tags in sentence 0',
  )
})

test('entities, by the rules of conlleval', () => {
  expect(entities(['B-A', 'I-A', 'O', 'I-A', 'I-B', 'B-B'])).toEqual(['A 0 2', 'A 3 4', 'B 4 5', 'B 5 6'])
  // One of two found is right, one of three is found.
  const metrics = entityMetrics([['B-A', 'I-A', 'B-A', 'B-B']], [['B-A', 'I-A', 'I-A', 'B-B']])
  expect(metrics).toEqual({ entity_precision: 1 / 2, entity_recall: 1 / 3, entity_f1: 2 / 5 })
})

test('equal scores of a reranking, by hand', async () => {
  const constant = lookup(() => [1, 1])
  const data = [{ query: 'q', positive: ['a', 'b'], negative: ['c', 'd'] }]
  const { metrics } = await evaluate(constant, { task: 'reranking', data, atK: 2 })
  const discounts = 1 + 1 / Math.log2(3)
  expect(metrics.map).toBe(1 / 2)
  expect(metrics['mrr@2']).toBe(0) // both negatives come first
  expect(metrics['ndcg@2']).toBeCloseTo(discounts / 2 / discounts, 14)
  await refused(evaluate(constant, { task: 'reranking', data: [{ ...data[0]!, negative: [] }] }), 'but found none')
})

describe('directories', () => {
  const made = async (files: Record<string, string | Buffer>): Promise<string> => {
    const directory = path.join(folder.path(), `set${Math.random()}`)
    for (const [name, content] of Object.entries(files)) {
      await mkdir(path.dirname(path.join(directory, name)), { recursive: true })
      await writeFile(path.join(directory, name), content)
    }
    return directory
  }
  const score = async (evaluator: Evaluator): Promise<Evaluation> => evaluate(model, evaluator)

  test('splits, subsets, lists in place of values', async () => {
    const data = await made({
      'train.jsonl': lines(texts(30)),
      'test.jsonl.gz': gzipSync(lines(texts(9))),
      'fr/test.jsonl': lines([
        { sentences: texts(6).map(({ text }) => text), labels: texts(6).map(({ label }) => label) },
      ]),
      'validation/de.csv': 'text,label\na,l0\nb,l1\n',
    })
    expect(await score({ task: 'classification', data })).toMatchObject({ rows: 9, score: 1 })
    expect(await score({ task: 'clustering', data, subset: 'fr' })).toMatchObject({ rows: 6 })
    expect(await score({ task: 'zero-shot', data, split: 'validation', subset: 'de' })).toMatchObject({ rows: 2 })
    await refused(
      score({ task: 'clustering', data, split: 'dev' }),
      'Expected dev.jsonl, .csv, .tsv or .parquet in path but found "fr", "test.jsonl.gz"',
      data,
    )
  })

  test('parquet in parts, as on the hub', async () => {
    const data = path.join(folder.path(), 'parts')
    await mkdir(path.join(data, 'data'), { recursive: true })
    for (const part of ['00000', '00001'])
      await cp(path.join(GOLDEN, 'parquet/zstd.parquet'), path.join(data, 'data', `test-${part}-of-00002.parquet`))
    const single = path.join(GOLDEN, 'parquet/zstd.parquet')
    const constant = lookup((text) => [1, text.length])
    const found = await evaluate(constant, { task: 'geometry', data: single, columns: [await firstText(single)] })
    const twice = await evaluate(constant, { task: 'geometry', data, columns: [await firstText(single)] })
    expect([found.rows, twice.rows]).toEqual([60, 120])
  })

  test('BEIR: a run that is written has the metrics of the retrieval', async () => {
    const corpus = Array.from({ length: 12 }, (_, i) => ({
      _id: `d${i}`,
      title: '',
      text: 'abc'[i % 3]! + 'y'.repeat(i),
    }))
    const queries = ['a', 'bxx', 'cx'].map((text, i) => ({ _id: `q${i}`, text, language: i === 1 ? 'fr' : 'en' }))
    const qrels = 'query-id\tcorpus-id\tscore\nq0\td3\t1\nq1\td4\t1\nq1\td5\t1\nq2\td0\t1\n'
    const data = await made({ 'corpus.jsonl': lines(corpus), 'queries.jsonl': lines(queries), 'qrels/test.tsv': qrels })
    const runFile = path.join(data, 'found.trec')
    const result = await score({ task: 'retrieval', data, runFile, views: ['language', 'popularity'] })
    expect(result.views!.map(({ view, groups }) => [view, groups.map(({ items }) => items)])).toEqual([
      ['language', [2, 1]],
      ['popularity', [2, 1]], // d0 alone is the head, of four documents that are equally popular
    ])
    const run = await evaluateRun({ run: runFile, qrels: path.join(data, 'qrels/test.tsv') })
    expect(run.metrics.ndcg_cut_10).toBeCloseTo(result.metrics['cosine_ndcg@10']!, 12)
    expect(run.metrics.recall_5).toBeCloseTo(result.metrics['cosine_recall@5']!, 12)
    expect(run.metrics.num_ret).toBe(36)
  })
})

/** The name of a column of texts. */
async function firstText(file: string): Promise<string> {
  const { DataFile } = await import('../../src/data/data-file.js')
  const { readObjects } = await import('../../src/data/file-records.js')
  for await (const [row] of readObjects(await DataFile.open(file), 'parquet', new AbortController().signal))
    return Object.entries(row!.value).find(([, value]) => typeof value === 'string')![0]
  throw new Error('no row')
}

test.each<[object, string]>([
  [
    { task: 'pair-classification', data: [{ sentence1: 'a', sentence2: 'b', label: 2 }] },
    'Expected 1 or 0 for the label of pair 0',
  ],
  [
    { task: 'pair-classification', data: [{ sentence1: 'a', sentence2: 'b', label: 1 }] },
    'Expected pairs of both labels',
  ],
  [{ task: 'clustering', data: texts(1) }, 'Expected texts of two labels or more but found 1'],
  [{ task: 'classification', data: texts(3), train: texts(1) }, 'Expected examples of two labels or more'],
  [{ task: 'classification', data: [], train: texts(3) }, 'Expected a text with a label but found none'],
  [{ task: 'geometry', data: [{ text: 'a' }] }, 'Expected at least 2 texts but found 1'],
  [{ task: 'geometry', data: [{ text: 'a' }, { text: 'a' }] }, 'Expected vectors that differ'],
  [
    { task: 'sts', data: [{ sentence1: ['a', 'b'], sentence2: ['c'], score: [1, 2] }] },
    'Expected a list of 2 for sentence2',
  ],
])('data %j', async (evaluator, message) => {
  await refused(evaluate(model, evaluator as Evaluator), message)
})

test.each<[object, string]>([
  [{ task: 'classification', data: texts(3) }, 'for train but received undefined'],
  [
    { task: 'classification', data: texts(3), train: texts(3), samplesPerLabel: 'all', experiments: 2 },
    'for experiments',
  ],
  [{ task: 'clustering', data: texts(3), views: ['label'] }, 'Expected nothing (clustering has no score of each item)'],
  [{ task: 'clustering', data: texts(3), split: 'dev' }, 'Expected nothing beside rows in memory for split'],
  [{ task: 'zero-shot', data: texts(3), template: 'a' }, 'a text with {} in the place of the name for template'],
  [{ task: 'zero-shot', data: texts(3), labels: { a: [], b: 'x' } }, 'a name, or a list of names for labels["a"]'],
  [{ task: 'bitext-matrix', data: [], languages: ['en'] }, 'two columns or more for languages'],
  [{ task: 'reranking', data: [], similarityFnNames: 'dot' }, 'Expected a known option'],
])('options %j', async (evaluator, message) => {
  await expect(evaluate(model, evaluator as Evaluator)).rejects.toThrow(message)
})
