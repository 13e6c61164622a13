/**
 * How vectors fill their space: uniformity and alignment (Wang and Isola, 2020) on vectors of length 1, IsoScore
 * (Rudman and others, 2022) and shares of the variance on the vectors as they are.
 */
import { allocate } from '../../core/memory.js'
import { Random } from '../../core/random.js'
import { compare } from '../../core/vectors.js'
import { invalidData } from '../../data/data-file.js'
import { eigenvalues } from '../learning/eigenvalues.js'
import { transposed } from '../learning/logistic-regression.js'
import { pairSimilarity, type Rows } from '../pairs.js'
import type { Measured, Run } from '../run.js'
import { eachInSlices, type Slices } from '../slices.js'
import { type Column, openTable } from '../table.js'
import type { CheckedGeometry } from './options.js'

const TEXT: Column = { name: 'text', also: ['sentence', 'sentence1', 'sentences'], type: 'text' }
const POSITIVE: Column = { name: 'positive', also: ['sentence2'], type: 'text' }
/** Leading directions whose share of the variance is told. */
const LEADING = [1, 10, 100]

export async function evaluateGeometry(evaluator: CheckedGeometry, run: Run): Promise<Measured> {
  const { pairs, dimensions, samples, seed } = evaluator
  const [texts, positives]: [string[], string[]] = [[], []]
  const { groups } = await openTable(evaluator, pairs ? [TEXT, POSITIVE] : [TEXT], run.signal)
  for await (const group of groups) {
    if (run.slices.over) await run.slices.next()
    for (const row of group) {
      texts.push(row[0] as string)
      if (pairs) positives.push(row[1] as string)
    }
  }
  if (texts.length < 2) throw invalidData(`Expected at least 2 texts but found ${texts.length}`)
  run.extent = { total: texts.length + positives.length, share: () => null }
  const rows = await run.encoding.all(texts, run.batchSize, { dimensions })
  const metrics: Record<string, number> = {}
  if (pairs) {
    const others = await run.encoding.all(positives, run.batchSize, { dimensions })
    let sum = 0
    for (let i = 0; i < texts.length; i++) {
      if (run.slices.over) await run.slices.next()
      sum += 2 - 2 * pairSimilarity('cosine', rows, i, others, i)
    }
    metrics.alignment = sum / texts.length
  }
  Object.assign(metrics, await spread(rows, samples, seed, run.slices))
  const variances = await eigenvalues(await covariance(rows, run), rows.width, run.slices)
  Object.assign(metrics, shares(variances))
  return { metrics, primary: 'isoscore', rows: texts.length, documents: 0 }
}

/** Over all pairs, or over random ones where there are more than `samples`. |x - y|^2 = 2 - 2 cos. */
async function spread(
  rows: Rows,
  samples: number,
  seed: number,
  slices: Slices,
): Promise<{ uniformity: number; mean_cosine: number }> {
  const count = rows.data.length / rows.width
  const all = (count * (count - 1)) / 2
  const random = new Random(seed, 'pairs', 0)
  let [sum, cosines, i, j] = [0, 0, 0, 0]
  const pairs = Math.min(all, samples)
  for (let pair = 0; pair < pairs; pair++) {
    if (slices.over) await slices.next()
    if (all <= samples) {
      if (++j === count) j = ++i + 1
    } else {
      i = random.below(count)
      j = random.below(count - 1)
      if (j >= i) j++
    }
    const cosine = pairSimilarity('cosine', rows, i, rows, j)
    sum += Math.exp(-2 * (2 - 2 * cosine))
    cosines += cosine
  }
  return { uniformity: Math.log(sum / pairs), mean_cosine: cosines / pairs }
}

/** [width, width] */
async function covariance({ data, width }: Rows, { slices, signal }: Run): Promise<Float64Array> {
  const count = data.length / width
  const columns = await transposed(data, width, slices)
  for (let column = 0; column < width; column++) {
    let sum = 0
    const values = columns.subarray(column * count, (column + 1) * count)
    await eachInSlices(count, slices, (i) => (sum += values[i]!))
    await eachInSlices(count, slices, (i) => (values[i]! -= sum / count))
  }
  const products = allocate(width * width)
  await compare(columns, columns, count, 'dot', products, signal)
  const found = allocate(width * width, Float64Array)
  await eachInSlices(found.length, slices, (i) => (found[i] = products[i]! / (count - 1)))
  return found
}

/** From the variances in all directions, the greatest first. */
export function shares(variances: Float64Array): Record<string, number> {
  // Rounding leaves tiny negative ones.
  const values = variances.map((value) => Math.max(0, value))
  const total = values.reduce((sum, value) => sum + value, 0)
  const squares = values.reduce((sum, value) => sum + value * value, 0)
  if (total === 0) throw invalidData('Expected vectors that differ but found one vector for all texts')
  const found: Record<string, number> = { isoscore: isoScore(values, squares) }
  for (const k of LEADING)
    if (k < values.length)
      found[`explained_variance@${k}`] = values.subarray(0, k).reduce((sum, value) => sum + value, 0) / total
  found.effective_dimensions = (total * total) / squares
  return found
}

/**
 * The variances, scaled to the length of as many ones, against ones: 1 when all are equal, 0 when there is one. With n
 * dimensions and the defect d, ((n - d^2 (n - sqrt n))^2 - n) / (n (n - 1)).
 */
function isoScore(variances: Float64Array, squares: number): number {
  const n = variances.length
  if (n === 1) return 1
  const scale = Math.sqrt(n / squares)
  let distance = 0
  for (const variance of variances) distance += (variance * scale - 1) ** 2
  const defect = distance / (2 * (n - Math.sqrt(n)))
  return ((n - defect * (n - Math.sqrt(n))) ** 2 - n) / (n * (n - 1))
}
