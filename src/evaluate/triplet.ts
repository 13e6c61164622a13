/** TripletEvaluator: share of triplets whose anchor is nearer to the positive than to the negative. */
import { invalidData } from '../data/data-file.js'
import { regrouped } from './encoding.js'
import type { CheckedTriplet } from './options.js'
import { pairSimilarity, type Rows } from './pairs.js'
import { RowItems } from './row-items.js'
import { GrowingList, type Measured, namesOf, type Run } from './run.js'
import { type Column, openTable, type Row } from './table.js'

const COLUMNS: readonly Column[] = ['anchor', 'positive', 'negative'].map((name) => ({ name, type: 'text' }))

export async function evaluateTriplet(evaluator: CheckedTriplet, run: Run): Promise<Measured> {
  const { encoding, slices, batchSize } = run
  const names = namesOf(evaluator.similarities, run)
  const table = await openTable(evaluator, COLUMNS, run.signal)
  run.extent = { total: table.total === null ? null : 3 * table.total, share: table.share }
  const right = new Map(names.map((name) => [name, new GrowingList(Float32Array)]))
  const rows = new RowItems(evaluator.views, COLUMNS.length)
  const encodeTriplets = (rows: readonly Row[]): Promise<Rows> =>
    encoding.rows(
      COLUMNS.flatMap((_, side) => rows.map((row) => row[side] as string)),
      { dimensions: evaluator.dimensions },
    )
  for await (const { item, result } of encoding.overlapping(
    regrouped(table.groups, batchSize, slices),
    encodeTriplets,
  )) {
    for (const name of names) {
      // In float32, as torch adds a number to a tensor.
      const margin = Math.fround(evaluator.margin[name])
      for (let i = 0; i < item.length; i++) {
        if (slices.over) await slices.next()
        const positive = pairSimilarity(name, result, i, result, item.length + i)
        const negative = pairSimilarity(name, result, i, result, 2 * item.length + i)
        right.get(name)!.push(positive > Math.fround(negative + margin) ? 1 : 0)
      }
    }
    for (const row of item) rows.add(row)
  }
  const { count } = rows
  if (count === 0) throw invalidData('Expected at least one triplet but found none')
  const metrics: Record<string, number> = {}
  for (const name of names) metrics[`${name}_accuracy`] = sum(right.get(name)!.values) / count
  if (names.length > 1) metrics.max_accuracy = Math.max(...Object.values(metrics))
  const { main } = evaluator.similarities
  const primary = main === null && names.length > 1 ? 'max_accuracy' : `${main ?? names[0]!}_accuracy`
  const measure = main ?? names.find((name) => metrics[`${name}_accuracy`] === metrics[primary])!
  return {
    metrics,
    primary,
    rows: count,
    documents: 0,
    items: {
      metric: primary,
      statistic: 'mean',
      values: right.get(measure)!.values,
      ...(await rows.details(slices)),
    },
  }
}

const sum = (values: Float32Array): number => values.reduce((total, value) => total + value, 0)
