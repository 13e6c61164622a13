/**
 * Every language against every other, by cosine. One pass over all similarities, in blocks, keeps the most similar text
 * of each language for each text; of equal ones the first row counts.
 */
import { allocate } from '../../core/memory.js'
import { compare } from '../../core/vectors.js'
import { invalidData } from '../../data/data-file.js'
import type { Rows } from '../pairs.js'
import { RowItems } from '../row-items.js'
import type { Measured, Run } from '../run.js'
import { type Column, openTable } from '../table.js'
import { meanOf } from './labelled.js'
import type { CheckedMatrix } from './options.js'

/** Texts of a block, on either side. */
const BLOCK = { rows: 256, columns: 4096 }

export async function evaluateMatrix(evaluator: CheckedMatrix, run: Run): Promise<Measured> {
  const { languages, dimensions } = evaluator
  const columns = languages.map((name): Column => ({ name, type: 'text' }))
  const table = await openTable(evaluator, columns, run.signal)
  const texts = languages.map((): string[] => [])
  const items = new RowItems(evaluator.views, columns.length)
  for await (const group of table.groups) {
    if (run.slices.over) await run.slices.next()
    for (const row of group) {
      row.forEach((text, language) => texts[language]!.push(text as string))
      items.add(row)
    }
  }
  const count = items.count
  if (count === 0) throw invalidData('Expected at least one row of translations but found none')
  run.extent = { total: languages.length * count, share: () => null }
  const rows: Rows[] = []
  for (const list of texts) rows.push(await run.encoding.all(list, run.batchSize, { dimensions }))
  const best = new Best(languages.length, count)
  for (let from = 0; from < languages.length; from++)
    for (let to = 0; to < languages.length; to++) await offer(best, rows, from, to, run)
  return { ...measured(best, languages, count), rows: count, documents: 0 }
}

/** The most similar text of every language, for every text. */
class Best {
  readonly scores: Float32Array
  readonly places: Int32Array

  constructor(
    readonly languages: number,
    readonly count: number,
  ) {
    this.scores = allocate(languages * languages * count).fill(-Infinity)
    this.places = allocate(languages * languages * count, Int32Array).fill(-1)
  }

  at(from: number, to: number, row: number): number {
    return (from * this.languages + to) * this.count + row
  }
}

async function offer(best: Best, rows: readonly Rows[], from: number, to: number, run: Run): Promise<void> {
  const { count } = best
  const { data, width } = rows[from]!
  const other = rows[to]!.data
  for (let row = 0; row < count; row += BLOCK.rows) {
    const height = Math.min(BLOCK.rows, count - row)
    for (let column = 0; column < count; column += BLOCK.columns) {
      const length = Math.min(BLOCK.columns, count - column)
      const scores = allocate(height * length)
      await compare(
        data.subarray(row * width, (row + height) * width),
        other.subarray(column * width, (column + length) * width),
        width,
        'cosine',
        scores,
        run.signal,
      )
      for (let i = 0; i < height; i++) {
        if (run.slices.over) await run.slices.next()
        const at = best.at(from, to, row + i)
        for (let j = 0; j < length; j++) {
          // A text is not a translation of itself.
          if (from === to && row + i === column + j) continue
          if (scores[i * length + j]! > best.scores[at]!) {
            best.scores[at] = scores[i * length + j]!
            best.places[at] = column + j
          }
        }
      }
    }
  }
}

function measured(
  best: Best,
  languages: readonly string[],
  count: number,
): { metrics: Record<string, number>; primary: string } {
  const metrics: Record<string, number> = {}
  const accuracies: number[] = []
  let [mixed, own] = [0, 0]
  for (const [from, language] of languages.entries()) {
    const right = languages.map(() => 0)
    for (let row = 0; row < count; row++) {
      let nearest = -1
      for (let to = 0; to < languages.length; to++) {
        if (to === from) continue
        if (best.places[best.at(from, to, row)] === row) right[to]!++
        if (nearest < 0 || best.scores[best.at(from, to, row)]! > best.scores[best.at(from, nearest, row)]!)
          nearest = to
      }
      if (best.places[best.at(from, nearest, row)] === row) mixed++
      if (best.scores[best.at(from, from, row)]! > best.scores[best.at(from, nearest, row)]!) own++
    }
    for (const [to, other] of languages.entries()) {
      if (to === from) continue
      metrics[`${language}-${other}_accuracy`] = right[to]! / count
      accuracies.push(right[to]! / count)
    }
  }
  const texts = languages.length * count
  return {
    metrics: {
      ...metrics,
      mean_accuracy: meanOf(accuracies),
      worst_accuracy: Math.min(...accuracies),
      mixed_accuracy: mixed / texts,
      own_language_share: own / texts,
    },
    primary: 'mean_accuracy',
  }
}
