/**
 * BinaryClassificationEvaluator: how well a threshold parts pairs that belong together from others. As there, cuts are
 * tried between all neighbours in the order of the similarity, also between equal ones, but none behind the last pair;
 * the threshold is their mean in float32, and distances are positive.
 */
import type { SimilarityName } from '../../core/names.js'
import { show } from '../../core/show.js'
import { invalidData } from '../../data/data-file.js'
import { regrouped } from '../encoding.js'
import { pairSimilarity, type Rows } from '../pairs.js'
import { RowItems } from '../row-items.js'
import { GrowingList, type Measured, namesOf, type Run } from '../run.js'
import { eachInSlices, type Slices } from '../slices.js'
import { sortedOrder } from '../sorting.js'
import { once, Statistic } from '../statistics/statistic.js'
import { type Column, openTable, type Row } from '../table.js'
import type { CheckedPairs } from './options.js'

const COLUMNS: readonly Column[] = [
  { name: 'sentence1', also: ['sent1'], type: 'text' },
  { name: 'sentence2', also: ['sent2'], type: 'text' },
  { name: 'label', also: ['labels'], type: 'number' },
]

export async function evaluatePairs(evaluator: CheckedPairs, run: Run): Promise<Measured> {
  const { encoding, slices, batchSize } = run
  const names = namesOf(evaluator.similarities, run)
  const table = await openTable(evaluator, COLUMNS, run.signal)
  run.extent = { total: table.total === null ? null : 2 * table.total, share: table.share }
  const labels = new GrowingList(Float64Array)
  const lists = new Map(names.map((name) => [name, new GrowingList(Float32Array)]))
  const rows = new RowItems(evaluator.views, COLUMNS.length)
  const encodePairs = (pairs: readonly Row[]): Promise<Rows> =>
    encoding.rows(
      [0, 1].flatMap((side) => pairs.map((row) => row[side] as string)),
      { dimensions: evaluator.dimensions },
    )
  for await (const { item, result } of encoding.overlapping(regrouped(table.groups, batchSize, slices), encodePairs)) {
    for (const [name, list] of lists) {
      for (let i = 0; i < item.length; i++) {
        if (slices.over) await slices.next()
        list.push(pairSimilarity(name, result, i, result, item.length + i))
      }
    }
    for (const row of item) {
      const label = row[2] as number
      if (label !== 0 && label !== 1)
        throw invalidData(`Expected 1 or 0 for the label of pair ${rows.count} but found ${show(label)}`)
      labels.push(label)
      rows.add(row)
    }
  }
  const wanted = labels.values
  const positives = wanted.reduce((sum, label) => sum + label, 0)
  if (positives === 0 || positives === wanted.length)
    throw invalidData(`Expected pairs of both labels but found ${positives} of ${wanted.length} with 1`)
  const metrics: Record<string, number> = {}
  for (const name of names)
    for (const [metric, value] of Object.entries(await measure(lists.get(name)!.values, wanted, name, slices)))
      metrics[`${name}_${metric}`] = value
  if (names.length > 1)
    for (const metric of METRICS) metrics[`max_${metric}`] = Math.max(...names.map((n) => metrics[`${n}_${metric}`]!))
  const { main } = evaluator.similarities
  const primary = `${main ?? (names.length > 1 ? 'max' : names[0]!)}_ap`
  const best = main ?? names.find((name) => metrics[`${name}_ap`] === metrics[primary])!
  return {
    metrics,
    primary,
    rows: wanted.length,
    documents: 0,
    items: {
      metric: primary,
      statistic: 'average_precision',
      values: lists.get(best)!.values,
      labels: wanted,
      ...(await rows.details(slices)),
    },
  }
}

const METRICS = ['accuracy', 'accuracy_threshold', 'f1', 'f1_threshold', 'precision', 'recall', 'ap', 'mcc'] as const

async function measure(
  similarities: Float32Array,
  labels: Float64Array,
  name: SimilarityName,
  slices: Slices,
): Promise<Record<(typeof METRICS)[number], number>> {
  const order = await sortedOrder(labels.length, (i, j) => similarities[j]! - similarities[i]!, slices)
  const positives = labels.reduce((sum, label) => sum + label, 0)
  // Where no cut is better than none.
  const accuracy = { value: 0, threshold: -1 }
  const f1 = { value: 0, threshold: 0, precision: 0, recall: 0 }
  let right = 0
  await eachInSlices(labels.length - 1, slices, (i) => {
    right += labels[order[i]!]!
    const taken = i + 1
    const cut = (): number => Math.fround(similarities[order[i]!]! + similarities[order[i + 1]!]!) / 2
    const correct = (right + labels.length - positives - (taken - right)) / labels.length
    if (correct > accuracy.value) Object.assign(accuracy, { value: correct, threshold: cut() })
    if (right === 0) return
    const [precision, recall] = [right / taken, right / positives]
    const value = (2 * precision * recall) / (precision + recall)
    if (value > f1.value) Object.assign(f1, { value, threshold: cut(), precision, recall })
  })
  const statistic = await Statistic.of({ statistic: 'average_precision', values: similarities, labels }, slices)
  const sign = name === 'cosine' || name === 'dot' ? 1 : -1
  return {
    accuracy: accuracy.value,
    accuracy_threshold: accuracy.threshold === -1 ? -1 : sign * accuracy.threshold,
    f1: f1.value,
    f1_threshold: f1.value === 0 ? 0 : sign * f1.threshold,
    precision: f1.precision,
    recall: f1.recall,
    ap: await statistic.value(once(labels.length)),
    mcc: await matthews(similarities, labels, f1.threshold, slices),
  }
}

/** Matthews' correlation of the labels with "at least the threshold"; 0 where one of them is constant. */
async function matthews(
  similarities: Float32Array,
  labels: Float64Array,
  threshold: number,
  slices: Slices,
): Promise<number> {
  const counts = [0, 0, 0, 0]
  await eachInSlices(labels.length, slices, (i) => {
    counts[2 * labels[i]! + (similarities[i]! >= threshold ? 1 : 0)]!++
  })
  const [trueNegative, falsePositive, falseNegative, truePositive] = counts as [number, number, number, number]
  const product =
    (truePositive + falsePositive) *
    (truePositive + falseNegative) *
    (trueNegative + falsePositive) *
    (trueNegative + falseNegative)
  return product === 0 ? 0 : (truePositive * trueNegative - falsePositive * falseNegative) / Math.sqrt(product)
}
