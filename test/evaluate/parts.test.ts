/** The parts that evaluators are made of, against plain definitions. */
import { expect, test } from 'vitest'
import { pearson, ranks, spearman } from '../../src/evaluate/correlation.js'
import { comesBefore, NearestDocuments } from '../../src/evaluate/nearest-documents.js'
import { RetrievalMetrics } from '../../src/evaluate/retrieval-metrics.js'
import { Slices } from '../../src/evaluate/slices.js'
import { pairSimilarity } from '../../src/evaluate/pairs.js'

const slices = new Slices(new AbortController().signal)

/** A generator of whole numbers from 0 to below. */
function draws(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

test.each([0, 1, 2, 4095, 4096, 4097, 20_000])('ranks of %i values share places', async (count) => {
  const draw = draws(count + 1)
  const values = Float64Array.from({ length: count }, () => draw(Math.ceil(count / 3)) - 5)
  const sorted = [...values].sort((a, b) => a - b)
  const first = new Map<number, number>()
  const last = new Map<number, number>()
  sorted.forEach((value, i) => {
    if (!first.has(value)) first.set(value, i)
    last.set(value, i)
  })
  expect([...(await ranks(values, slices))]).toEqual(
    [...values].map((value) => (first.get(value)! + last.get(value)!) / 2),
  )
})

test('correlations', async () => {
  const x = Float64Array.of(1, 2, 3, 4)
  expect(await pearson(x, Float64Array.of(2, 4, 6, 8), slices)).toBeCloseTo(1, 15)
  expect(await spearman(x, Float64Array.of(1, 10, 100, 1000), slices)).toBeCloseTo(1, 15)
  expect(await spearman(x, Float64Array.of(1000, 100, 10, 1), slices)).toBeCloseTo(-1, 15)
  // By hand: ranks 0 1 2 3 and 0.5 0.5 2.5 2.5.
  expect(await spearman(x, Float64Array.of(0, 0, 1, 1), slices)).toBeCloseTo(4 / Math.sqrt(20), 15)
  expect(await pearson(x, Float64Array.of(7, 7, 7, 7), slices)).toBeNaN()
})

test('similarities of pairs', () => {
  const rows = { data: Float32Array.of(3, 4, 0, 0, 6, 8), width: 2 }
  const of = (kind: 'cosine' | 'dot' | 'euclidean' | 'manhattan', i: number, j: number): number =>
    pairSimilarity(kind, rows, i, rows, j)
  expect([of('cosine', 0, 2), of('dot', 0, 2), of('euclidean', 0, 2), of('manhattan', 0, 2)]).toEqual([1, 50, -5, -7])
  expect(of('cosine', 0, 1)).toBe(0)
})

test('ids are ordered by code points, as in Python', () => {
  // In UTF-16, U+1F600 (D83D DE00) comes before U+FF21.
  const ordered = ['', '10', '2', 'A', 'a', 'ab', 'é', '\uD7FF', '\uE000', 'Ａ', '\u{1F600}', '\u{1F600}a', '\u{1F601}']
  for (const [i, a] of ordered.entries())
    for (const [j, b] of ordered.entries()) expect(comesBefore(a, b), `${a} ${b}`).toBe(i < j)
})

test('the nearest documents are the first of the sorted ones, however the scores come', () => {
  const draw = draws(3)
  const ids = Array.from({ length: 500 }, (_, i) => `${(i * 7919) % 500}`)
  const scores = Float32Array.from(ids, () => draw(20) / 8)
  const sorted = ids
    .map((_, i) => i)
    .sort((a, b) => scores[b]! - scores[a]! || (comesBefore(ids[a]!, ids[b]!) ? -1 : 1))
  for (const k of [1, 2, 7, 100, 499, 500, 600]) {
    for (const block of [1, 13, 500]) {
      const nearest = new NearestDocuments(2, k, ids)
      for (let first = 0; first < ids.length; first += block)
        nearest.offer(1, first, scores.subarray(first, first + block))
      expect(nearest.of(1)).toEqual(sorted.slice(0, k))
      expect(nearest.of(0)).toEqual([])
    }
  }
})

test('metrics of one ranking, by hand', () => {
  const metrics = new RetrievalMetrics({
    accuracy: [1, 2],
    precisionRecall: [2, 4],
    mrr: [1, 4],
    ndcg: [4],
    map: [4, 1],
  })
  // Relevant at the second and the fourth rank, and one that was not found.
  metrics.add([false, true, false, true], 3)
  const log = (rank: number): number => 1 / Math.log2(rank + 1)
  expect(metrics.means('x')).toEqual({
    'x_accuracy@1': 0,
    'x_accuracy@2': 1,
    'x_precision@2': 1 / 2,
    'x_precision@4': 2 / 4,
    'x_recall@2': 1 / 3,
    'x_recall@4': 2 / 3,
    'x_ndcg@4': (log(2) + log(4)) / (log(1) + log(2) + log(3)),
    'x_mrr@1': 0,
    'x_mrr@4': 1 / 2,
    'x_map@4': (1 / 2 + 2 / 4) / 3,
    'x_map@1': 0,
  })
})
