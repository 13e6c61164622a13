/** Metrics equal those of sentence-transformers: for given vectors, and for a whole run over a real model. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { SimilarityName } from '../../src/core/names.js'
import { type Evaluation, type EvaluationTask, type Evaluator, evaluate, load } from '../../src/index.js'
import { DATA, GOLDEN, readJson, REAL_MODELS, Tensors } from '../support/golden.js'
import { lookup } from './support/table.js'

interface Result {
  primary: string
  metrics: Record<string, number>
}
interface Case extends Result {
  task: EvaluationTask
  rows: string
  data: Record<string, unknown[] | Record<string, string>>
  similarity: SimilarityName
  options: Record<string, unknown>
}
interface Golden {
  cases: Case[]
  real: { sts: Result; retrieval: Result & { documents: number } }
}

const golden = readJson<Golden>(path.join(GOLDEN, 'evaluators/golden.json'))
const tensors = new Tensors(path.join(GOLDEN, 'evaluators/golden.safetensors'))

/** Lists of columns as rows. */
function rowsOf(columns: Record<string, unknown[]>): Record<string, unknown>[] {
  const names = Object.keys(columns)
  return columns[names[0]!]!.map((_, i) => Object.fromEntries(names.map((name) => [name, columns[name]![i]])))
}

function evaluatorOf({ task, data, options }: Case): Evaluator {
  const source = task === 'retrieval' ? data : { data: rowsOf(data as Record<string, unknown[]>) }
  return { task, ...source, ...options } as unknown as Evaluator
}

/**
 * What float32 leaves open. Pearson follows the similarities, which both sides round. Spearman follows their order:
 * both agree unless two similarities are closer than the rounding, which no pair of random vectors here is. Counts and
 * the means of counts are the same numbers, but for the order of their sums in float64; the accuracy of triplets is a
 * float32 there.
 */
function expectSame(result: Evaluation, { primary, metrics }: Result): void {
  expect(Object.keys(result.metrics).sort()).toEqual(Object.keys(metrics).sort())
  expect(result.primaryMetric).toBe(primary)
  expect(result.score).toBe(result.metrics[primary])
  for (const [name, expected] of Object.entries(metrics)) {
    const found = result.metrics[name]!
    if (result.task === 'triplet') expect(Math.fround(found), name).toBe(expected)
    else expect(Math.abs(found - expected), `${name}: ${found}, not ${expected}`).toBeLessThan(allowed(name))
  }
}
const allowed = (name: string): number => (/pearson/.test(name) ? 1e-6 : 1e-12)

describe.each(golden.cases.map((one, i) => [i, one.task, one.rows, JSON.stringify(one.options), one] as const))(
  '%i %s of %s, %s',
  (_i, _task, _rows, _options, one) => {
    const { data, shape } = tensors.float(one.rows)
    const width = shape[1]!
    const model = lookup((text) => data.subarray(Number(text) * width, (Number(text) + 1) * width), one.similarity)

    test.each([1, 7, 256])('in batches of %i', async (batchSize) => {
      expectSame(await evaluate(model, evaluatorOf(one), { batchSize }), one)
    })
  },
)

test('the cases have every task, and metrics that are not all 0 or 1', () => {
  expect(new Set(golden.cases.map(({ task }) => task)).size).toBe(4)
  for (const { metrics } of golden.cases)
    expect(Object.values(metrics).some((value) => value !== 0 && Math.abs(value) < 1)).toBe(true)
})

const directory = path.join(REAL_MODELS, 'all-MiniLM-L6-v2')
const there = existsSync(directory)

// Seconds on a free machine; the limit is for a busy one.
describe.skipIf(!there)('all-MiniLM-L6-v2, as with sentence-transformers', { timeout: 300_000 }, () => {
  test.skipIf(!existsSync(path.join(DATA, 'stsb')))('on STS-B dev', async () => {
    await using model = await load(directory)
    const result = await evaluate(model, {
      task: 'sts',
      name: 'stsb',
      data: path.join(DATA, 'stsb/stsb-en-dev.csv'),
      columns: [1, 2, 3],
      similarityFnNames: ['cosine', 'dot', 'euclidean', 'manhattan'],
    })
    const { primary, metrics } = golden.real.sts
    expect(result).toMatchObject({ primaryMetric: primary, rows: 1500, texts: 3000 })
    expect(result.tokens).toBeGreaterThan(30_000)
    expect(Object.keys(result.metrics).sort()).toEqual(Object.keys(metrics).sort())
    // Vectors differ by some 1e-6 (test/parity), similarities by as much; some of 1500 pairs change places with a
    // neighbour.
    for (const [name, expected] of Object.entries(metrics))
      expect(Math.abs(result.metrics[name]! - expected), name).toBeLessThan(1e-5)
  })

  test.skipIf(!existsSync(path.join(DATA, 'scifact')))('on a part of SciFact', async () => {
    await using model = await load(directory)
    const relevantDocs = path.join(DATA, 'scifact/qrels-val.txt')
    const { primary, metrics, documents } = golden.real.retrieval
    const result = await evaluate(
      model,
      {
        task: 'retrieval',
        name: 'scifact',
        queries: path.join(DATA, 'scifact/queries-val.tsv'),
        quote: 'none',
        corpus: partOfSciFact(relevantDocs),
        relevantDocs,
      },
      { encode: { maxTokens: 64 } },
    )
    expect(result).toMatchObject({ primaryMetric: primary, rows: 122, documents })
    // A document changes places with its neighbour only where two cosines differ by some 1e-6: none does.
    for (const [name, expected] of Object.entries(metrics))
      expect(Math.abs(result.metrics[name]! - expected), name).toBeLessThan(1e-12)
  })
})

/** The judged documents and every 40th document, as the script takes them. */
function partOfSciFact(relevantDocs: string): Map<string, string> {
  const judged = new Set(
    readFileSync(relevantDocs, 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[2]),
  )
  const lines = ['corpus-1.jsonl.gz', 'corpus-2.jsonl.gz'].flatMap((file) =>
    gunzipSync(readFileSync(path.join(DATA, 'scifact', file)))
      .toString()
      .trimEnd()
      .split('\n'),
  )
  const rows = lines.map((line) => JSON.parse(line) as { _id: string; title: string; text: string })
  return new Map(
    rows
      .filter(({ _id }, i) => judged.has(_id) || i % 40 === 0)
      .map(({ _id, title, text }) => [_id, `${title} ${text}`.trim()]),
  )
}
