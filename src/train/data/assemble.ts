/** From the rows of a batch to its columns of texts and its numbers. */
import { chooseTexts } from './choice.js'
import type { Dictionaries } from './facts.js'
import { hashText } from './facts.js'
import type { OpenSource } from './open.js'
import type { Row } from './rows.js'

export interface AssembledBatch {
  /** Texts by column of the format. */
  columns: string[][]
  /** Prompts of the rows in the first column; null = the prompt of the column. */
  rowPrompts: (string | null)[] | null
  scores: Float32Array | null
  scoresPerRow: number
  labels: Int32Array | null
  categories: Int32Array | null
  languages: Int32Array | null
  ids: Int32Array | null
}

/** `numbers`: of the rows in the source. `epoch`: of the source, by which FlagEmbedding rows draw their texts. */
export function assemble(
  source: OpenSource,
  rows: readonly Row[],
  numbers: ArrayLike<number>,
  epoch: number,
  dictionaries: Dictionaries,
): AssembledBatch {
  const { format, choice } = source
  const width = format.columns.length
  const columns = Array.from({ length: width }, () => new Array<string>(rows.length))
  const scoresPerRow = (source.rows ?? source.stream)!.scoresPerRow
  const scores = scoresPerRow > 0 ? new Float32Array(rows.length * scoresPerRow) : null
  rows.forEach((row, i) => {
    const chosen = choice === null ? null : chooseTexts(choice, epoch, numbers[i]!, row.positives, row.texts.length)
    for (let c = 0; c < width; c++) columns[c]![i] = row.texts[chosen === null ? c : chosen[c]!]!
    if (scores === null) return
    // The numbers of flag-embedding belong to its texts; the query has none.
    for (let s = 0; s < scoresPerRow; s++)
      scores[i * scoresPerRow + s] = row.scores![chosen === null ? s : chosen[s + 1]! - 1]!
  })
  const numbered = (valueOf: (row: Row) => string | null, number: (name: string) => number): Int32Array | null =>
    rows.every((row) => valueOf(row) !== null) ? Int32Array.from(rows, (row) => number(valueOf(row)!)) : null
  return {
    columns,
    rowPrompts: rows.some(({ prompt }) => prompt !== null) ? rows.map(({ prompt }) => prompt) : null,
    scores,
    scoresPerRow,
    labels: numbered(
      ({ label }) => label,
      (name) => dictionaries.labels.number(name),
    ),
    categories: numbered(
      ({ category }) => category,
      (name) => dictionaries.categories.number(name),
    ),
    languages: numbered(
      ({ language }) => language,
      (name) => dictionaries.languages.number(name),
    ),
    ids: numbered(({ id }) => id, hashText),
  }
}
