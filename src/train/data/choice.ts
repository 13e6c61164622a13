/** Which positives and negatives of a FlagEmbedding row an epoch uses. Depends on seed, epoch and row alone. */
import { Random } from '../../core/random.js'

export interface Choice {
  seed: number
  /** The number of the source, so that equal rows of two sources draw differently. */
  source: number
  /** Negatives per row. */
  negatives: number
}

/**
 * Places among the texts of a row (query, positives, negatives) of the query, one positive, and the negatives. Where
 * the row has fewer negatives than wanted, one may be taken more than once, as in FlagEmbedding.
 */
export function chooseTexts(choice: Choice, epoch: number, row: number, positives: number, texts: number): number[] {
  const random = new Random(choice.seed, 'choice', epoch, choice.source, row)
  const chosen = [0, 1 + random.below(positives)]
  const available = texts - 1 - positives
  if (choice.negatives === 0 || available === 0) return chosen
  // A list of all, repeated until long enough, of which as many as wanted are drawn without replacement.
  const repeated = available * Math.ceil(choice.negatives / available)
  const drawn = new Map<number, number>() // the first items of a Fisher-Yates shuffle, which may be long
  for (let i = 0; i < choice.negatives; i++) {
    const j = i + random.below(repeated - i)
    const item = drawn.get(j) ?? j
    drawn.set(j, drawn.get(i) ?? i)
    chosen.push(1 + positives + (item % available))
  }
  return chosen
}
