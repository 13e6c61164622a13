/** Texts with labels, and their vectors. */
import { allocate } from '../../core/memory.js'
import { invalidData } from '../../data/data-file.js'
import type { Table } from '../evaluator-rules.js'
import { LabelNumbers } from '../learning/class-metrics.js'
import type { Rows } from '../pairs.js'
import { RowItems } from '../row-items.js'
import type { Run } from '../run.js'
import { type Column, openTable } from '../table.js'

const COLUMNS: readonly Column[] = [
  { name: 'text', also: ['sentences', 'sentence'], type: 'text' },
  { name: 'label', also: ['labels'], type: 'label' },
]

export interface Labelled {
  texts: string[]
  labels: string[]
  items: RowItems
}

export async function readLabelled(table: Table, run: Run): Promise<Labelled> {
  const found: Labelled = { texts: [], labels: [], items: new RowItems(table.views, COLUMNS.length) }
  const { groups } = await openTable(table, COLUMNS, run.signal)
  for await (const group of groups) {
    if (run.slices.over) await run.slices.next()
    for (const row of group) {
      found.texts.push(row[0] as string)
      found.labels.push(row[1] as string)
      found.items.add(row)
    }
  }
  if (found.texts.length === 0) throw invalidData('Expected a text with a label but found none')
  return found
}

/** The labels as numbers, in the order in which they come first. */
export function numbered(labels: readonly string[], numbers = new LabelNumbers()): Int32Array {
  return Int32Array.from(labels, (label) => numbers.of(label))
}

/** The rows at some places. */
export async function rowsAt({ data, width }: Rows, places: ArrayLike<number>, { slices }: Run): Promise<Rows> {
  const found = allocate(places.length * width)
  for (let i = 0; i < places.length; i++) {
    if (slices.over) await slices.next()
    found.set(data.subarray(places[i]! * width, (places[i]! + 1) * width), i * width)
  }
  return { data: found, width }
}

export const meanOf = (values: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  return sum / values.length
}

/** As numpy.std: divided by the number of values. */
export const deviationOf = (values: ArrayLike<number>): number => {
  const mean = meanOf(values)
  return Math.sqrt(meanOf(Array.from(values, (value) => (value - mean) ** 2)))
}
