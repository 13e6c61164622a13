/**
 * TranslationEvaluator: share of texts whose most similar text of the other language is their translation. Of several
 * equally similar ones the first counts. The matrix of similarities is computed in blocks and never held as a whole.
 */
import { allocate } from '../core/memory.js'
import { compare } from '../core/vectors.js'
import { invalidData } from '../data/data-file.js'
import type { CheckedBitext } from './options.js'
import type { Rows } from './pairs.js'
import { RowItems } from './row-items.js'
import type { Measured, Run } from './run.js'
import { type Column, openTable } from './table.js'

const COLUMNS: readonly Column[] = [
  { name: 'source_sentence', also: ['sentence1'], type: 'text' },
  { name: 'target_sentence', also: ['sentence2'], type: 'text' },
]

/** Sources and targets of a block. */
const BLOCK = { rows: 256, columns: 4096 }

export async function evaluateBitext(evaluator: CheckedBitext, run: Run): Promise<Measured> {
  const table = await openTable(evaluator, COLUMNS, run.signal)
  run.extent = { total: table.total === null ? null : 2 * table.total, share: table.share }
  const [sources, targets]: [string[], string[]] = [[], []]
  const rows = new RowItems(evaluator.views, COLUMNS.length)
  for await (const group of table.groups) {
    if (run.slices.over) await run.slices.next()
    for (const row of group) {
      const [source, target] = row
      rows.add(row)
      sources.push(source as string)
      targets.push(target as string)
    }
  }
  const count = sources.length
  if (count === 0) throw invalidData('Expected at least one pair of translations but found none')
  run.extent = { total: 2 * count, share: () => null }
  const settings = { dimensions: evaluator.dimensions }
  const a = await run.encoding.all(sources, run.batchSize, settings)
  const b = await run.encoding.all(targets, run.batchSize, settings)
  const { forward, backward } = await matches(a, b, count, run)
  const [src2trg, trg2src] = [mean(forward), mean(backward)]
  return {
    metrics: { src2trg_accuracy: src2trg, trg2src_accuracy: trg2src, mean_accuracy: (src2trg + trg2src) / 2 },
    primary: 'mean_accuracy',
    rows: count,
    documents: 0,
    items: {
      metric: 'mean_accuracy',
      statistic: 'mean',
      values: forward.map((right, i) => (right + backward[i]!) / 2),
      ...(await rows.details(run.slices)),
    },
  }
}

const mean = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** The best so far of each row, and where it is. */
class Best {
  private readonly scores: Float32Array
  private readonly places: Int32Array

  constructor(count: number) {
    this.scores = allocate(count).fill(-Infinity)
    this.places = allocate(count, Int32Array).fill(-1)
  }

  /** Places are offered in ascending order, so that the first of equal ones stays. */
  offer(row: number, place: number, score: number): void {
    if (score > this.scores[row]!) {
      this.scores[row] = score
      this.places[row] = place
    }
  }

  /** Of each row 1 if its best is at its own place, else 0. */
  get right(): Float64Array {
    return Float64Array.from(this.places, (place, row) => (place === row ? 1 : 0))
  }
}

export async function matches(
  a: Rows,
  b: Rows,
  count: number,
  { slices, signal }: Run,
): Promise<{ forward: Float64Array; backward: Float64Array }> {
  const { width } = a
  const [forward, backward] = [new Best(count), new Best(count)]
  const scores = allocate(Math.min(BLOCK.rows, count) * Math.min(BLOCK.columns, count))
  for (let row = 0; row < count; row += BLOCK.rows) {
    const rows = Math.min(BLOCK.rows, count - row)
    for (let column = 0; column < count; column += BLOCK.columns) {
      const columns = Math.min(BLOCK.columns, count - column)
      const found = scores.subarray(0, rows * columns)
      await compare(
        a.data.subarray(row * width, (row + rows) * width),
        b.data.subarray(column * width, (column + columns) * width),
        width,
        'cosine',
        found,
        signal,
      )
      for (let i = 0; i < rows; i++) {
        if (slices.over) await slices.next()
        for (let j = 0; j < columns; j++) {
          const score = found[i * columns + j]!
          forward.offer(row + i, column + j, score)
          backward.offer(column + j, row + i, score)
        }
      }
    }
  }
  return { forward: forward.right, backward: backward.right }
}
