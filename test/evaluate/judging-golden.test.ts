/** Pairs, reranking, classes, clusters, geometry and resampling as in sentence-transformers, scikit-learn and scipy. */
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { compareEvaluations, evaluate, type Evaluator, type ItemScores } from '../../src/index.js'
import { classMetrics } from '../../src/evaluate/learning/class-metrics.js'
import { eigenvalues } from '../../src/evaluate/learning/eigenvalues.js'
import { kMeans } from '../../src/evaluate/learning/k-means.js'
import { fitClassifier, predict } from '../../src/evaluate/learning/logistic-regression.js'
import { vMeasure } from '../../src/evaluate/learning/v-measure.js'
import { Slices } from '../../src/evaluate/slices.js'
import { bootstrap, intervalOf, signTest } from '../../src/evaluate/statistics/resampling.js'
import { once, Statistic } from '../../src/evaluate/statistics/statistic.js'
import { GOLDEN, readJson, Tensors } from '../support/golden.js'
import { lookup } from './support/table.js'

interface Golden {
  cases: {
    task: string
    rows: string
    data: Record<string, unknown[]>
    options: object
    primary: string
    metrics: Record<string, number>
  }[]
  classes: {
    rows: string
    labels: number[]
    train: number
    C: number
    coefficients: number[][]
    intercepts: number[]
    predicted: number[]
    accuracy: number
    f1: number
    f1_weighted: number
  }[]
  clusters: {
    agreement: { labels: number[]; clusters: number[]; values: [number, number, number] }[]
    blobs: Record<string, { labels: number[]; scores: number[] }>
  }
  statistics: {
    a: number[]
    b: number[]
    labels: number[]
    few: number[]
    interval: [number, number]
    paired: [number, number]
    spearman: [number, number]
    p: number
  }
  geometry: Record<string, number> & { variances: number[] }
}
const golden = readJson<Golden>(path.join(GOLDEN, 'judging/golden.json'))
const tensors = new Tensors(path.join(GOLDEN, 'judging/golden.safetensors'))
const { signal } = new AbortController()
const slices = new Slices(signal)

/** A model whose texts are the numbers of rows. */
function modelOf(name: string): ReturnType<typeof lookup> {
  const { data, shape } = tensors.float(name)
  const width = shape[1]!
  return lookup((text) => data.subarray(Number(text) * width, (Number(text) + 1) * width), 'cosine')
}
function rowsOf(columns: Record<string, unknown[]>): Record<string, unknown>[] {
  const names = Object.keys(columns)
  return columns[names[0]!]!.map((_, i) => Object.fromEntries(names.map((name) => [name, columns[name]![i]])))
}

describe.each(golden.cases.map((one, i) => [i, one.task, one.rows, one] as const))(
  '%i %s of %s',
  (_i, task, rows, one) => {
    test.each([3, 256])('in batches of %i', async (batchSize) => {
      const data = rowsOf(one.data)
      const result = await evaluate(modelOf(rows), { task, data, ...one.options } as unknown as Evaluator, {
        batchSize,
      })
      expect(result.primaryMetric).toBe(one.primary)
      expect(Object.keys(result.metrics).sort()).toEqual(Object.keys(one.metrics).sort())
      // Similarities are rounded to float32 on both sides, the thresholds follow them; the rest are ratios of counts.
      for (const [name, expected] of Object.entries(one.metrics)) {
        const scale = /threshold/.test(name) ? 1e-6 * Math.max(1, Math.abs(expected)) : 1e-12
        expect(Math.abs(result.metrics[name]! - expected), `${name}: ${result.metrics[name]}`).toBeLessThan(scale)
      }
    })
  },
)

describe.each(golden.classes)('classes of $rows, C = $C', ({ rows, labels, train, C, coefficients, ...expected }) => {
  test('the minimum is that of scikit-learn', async () => {
    const { data, shape } = tensors.float(rows)
    const width = shape[1]!
    const kinds = new Set(labels).size
    const part = { data: data.slice(0, train * width), width }
    const classifier = await fitClassifier(part, Int32Array.from(labels.slice(0, train)), kinds, C, slices, signal)
    // The search ends when no number of the gradient is above 1e-5; the curvature is 1 / C at least.
    const allowed = 1e-5 * Math.sqrt(coefficients.flat().length) * Math.max(C, 0.1)
    coefficients.flat().forEach((value, i) => expect(Math.abs(classifier.weights[i]! - value)).toBeLessThan(allowed))
    // Of more than two classes, intercepts are known up to a sum.
    const shift = kinds === 2 ? 0 : mean([...classifier.intercepts]) - mean(expected.intercepts)
    expected.intercepts.forEach((value, i) =>
      expect(Math.abs(classifier.intercepts[i]! - shift - value)).toBeLessThan(10 * allowed),
    )
    const found = await predict(classifier, data.slice(train * width), slices, signal)
    expect([...found]).toEqual(expected.predicted)
    const metrics = classMetrics(Int32Array.from(labels.slice(train)), found, kinds)
    for (const name of ['accuracy', 'f1', 'f1_weighted'] as const) expect(metrics[name]).toBeCloseTo(expected[name], 12)
  })
})
const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

describe('clusters', () => {
  test.each(golden.clusters.agreement)('agreement', ({ labels, clusters, values }) => {
    const { homogeneity, completeness, v_measure } = vMeasure(Int32Array.from(labels), Int32Array.from(clusters))
    ;[homogeneity, completeness, v_measure].forEach((value, i) => expect(value).toBeCloseTo(values[i]!, 10))
  })

  test.each(Object.entries(golden.clusters.blobs))(
    '%s: as good as MiniBatchKMeans',
    async (name, { labels, scores }) => {
      const { data, shape } = tensors.float(`clusters-${name}`)
      const found: number[] = []
      for (let run = 0; run < 15; run++) {
        const options = { clusters: 8, batchSize: 500, seed: 1, run }
        const clusters = await kMeans({ data, width: shape[1]! }, options, slices, signal)
        if (run === 0)
          expect(await kMeans({ data, width: shape[1]! }, options, slices, signal), 'same seed').toEqual(clusters)
        found.push(vMeasure(Int32Array.from(labels), clusters).v_measure)
      }
      // The mean of 15 runs each; three standard errors of both, and a thousandth for scores that do not vary.
      const spread = (values: number[]): number => mean(values.map((v) => (v - mean(values)) ** 2)) / values.length
      expect(Math.abs(mean(found) - mean(scores))).toBeLessThan(3 * Math.sqrt(spread(found) + spread(scores)) + 1e-3)
    },
  )
})

test('geometry', async () => {
  const { variances, ...expected } = golden.geometry
  const data = Array.from({ length: 90 }, (_, i) => ({ text: String(i), positive: String(90 + i) }))
  const { metrics, primaryMetric } = await evaluate(modelOf('geometry'), { task: 'geometry', data, pairs: true })
  expect(primaryMetric).toBe('isoscore')
  expect(Object.keys(metrics).sort()).toEqual(Object.keys(expected).sort())
  // Covariances are sums of products in float32.
  for (const [name, value] of Object.entries(expected))
    expect(Math.abs(metrics[name]! - value), name).toBeLessThan(1e-5 * Math.max(1, Math.abs(value)))
  expect(variances).toHaveLength(20)
})

test('eigenvalues of matrices that are known', async () => {
  // The second difference has the eigenvalues 2 - 2 cos(k pi / (n + 1)).
  const n = 60
  const matrix = new Float64Array(n * n)
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) matrix[i * n + j] = i === j ? 2 : Math.abs(i - j) === 1 ? -1 : 0
  const found = await eigenvalues(matrix, n, slices)
  found.forEach((value, i) => expect(value).toBeCloseTo(2 - 2 * Math.cos(((n - i) * Math.PI) / (n + 1)), 12))
  // u u^T + I: one of |u|^2 + 1, the others 1.
  const dense = Float64Array.from({ length: 49 }, (_, at) => {
    const [i, j] = [Math.floor(at / 7), at % 7]
    return (i + 1) * (j + 1) + (i === j ? 1 : 0)
  })
  const [first, ...rest] = await eigenvalues(dense, 7, slices)
  expect(first).toBeCloseTo(141, 10)
  for (const value of rest) expect(value).toBeCloseTo(1, 10)
  expect([...(await eigenvalues(Float64Array.of(5), 1, slices))]).toEqual([5])
})

describe('resampling, as scipy', () => {
  const { a, b, labels, few, interval, paired, spearman, p } = golden.statistics
  const resampling = { samples: 20_000, level: 0.95, seed: 3 }
  const items = (values: number[]): ItemScores => ({
    metric: 'm',
    statistic: 'mean',
    ids: values.map((_, i) => String(i)),
    values,
    digest: null,
  })
  // Ends of an interval are quantiles of some thousand draws with a deviation of about 0.15: their own is about 0.005.
  const near = (found: number, expected: number): void => expect(Math.abs(found - expected)).toBeLessThan(0.025)

  test('interval of a mean and of a correlation', async () => {
    for (const [statistic, expected] of [
      ['mean', interval],
      ['spearman', spearman],
    ] as const) {
      const score = await Statistic.of({ statistic, values: a, labels }, slices)
      const found = intervalOf(await bootstrap(40, (counts) => score.value(counts), resampling, slices), resampling)!
      near(found.low, expected[0])
      near(found.high, expected[1])
    }
  })

  test('paired difference', async () => {
    const found = await compareEvaluations({ items: items(a) }, { items: items(b) }, resampling)
    expect(found.difference).toBeCloseTo(mean(b) - mean(a), 12)
    near(found.interval.low, paired[0])
    near(found.interval.high, paired[1])
    expect(await compareEvaluations({ items: items(a) }, { items: items(b) }, resampling)).toEqual(found)
  })

  test('probability by random signs', async () => {
    // scipy counts all 2^11 signs; a share of 20,000 draws has a deviation of 0.0035 at most.
    expect(Math.abs((await signTest(Float64Array.from(few), resampling, slices)) - p)).toBeLessThan(0.014)
  })

  test('items that are drawn twice count twice', async () => {
    for (const statistic of ['mean', 'spearman', 'average_precision'] as const) {
      const values = [0.3, 0.1, 0.3, 0.9]
      const given = statistic === 'spearman' ? [1, 2, 2, 4] : [1, 0, 1, 0]
      const counts = Uint32Array.of(2, 1, 0, 3)
      const places = [0, 0, 1, 3, 3, 3]
      const drawn = { statistic, values: places.map((i) => values[i]!), labels: places.map((i) => given[i]!) }
      const expected = await (await Statistic.of(drawn, slices)).value(once(6))
      expect(await (await Statistic.of({ statistic, values, labels: given }, slices)).value(counts)).toBeCloseTo(
        expected,
        14,
      )
    }
  })
})
