/** The rows of training data: what a caller writes, and what they become. */

/**
 * One row of training data, with the column names of sentence-transformers. Which columns a source has decides what it
 * is (see `DataKind`); every row of a source has the same ones. Other names are mapped by the option `columns`.
 */
export interface TrainingRow {
  /** Also `query` or `question`. */
  readonly anchor?: string
  /** Also `answer` or `response`. */
  readonly positive?: string
  readonly negative?: string
  readonly [negative: `negative_${number}`]: string
  /** Also `sentence_A`, `text1` or `premise`. */
  readonly sentence1?: string
  /** Also `sentence_B`, `text2` or `hypothesis`. */
  readonly sentence2?: string
  /** Also `text`. */
  readonly sentence?: string
  /** A number, or a list of them: one per text after the first. Also `scores`. */
  readonly score?: number | readonly number[]
  /** Of a sentence: its class, or the vector it shall have. Of texts: a number, as `score`. Also `labels`. */
  readonly label?: string | number | boolean | readonly number[]
  /** FlagEmbedding: the texts of one query. */
  readonly query?: string
  readonly pos?: readonly string[]
  readonly neg?: readonly string[]
  readonly pos_scores?: readonly number[]
  readonly neg_scores?: readonly number[]
  /** FlagEmbedding: put before the query of this row, in place of the prompt of the column. */
  readonly prompt?: string
  /** Rows of one id are never each other's negatives. */
  readonly id?: string | number
  /** The group of a row that has no class of its own, for sampling by label and for masks. */
  readonly group?: string | number
  readonly category?: string | number
  readonly language?: string
}

/**
 * What the rows of a source are.
 * - `texts`: one sentence.
 * - `labelled-texts`: a sentence and its class.
 * - `text-vectors`: a sentence and the vector it shall have.
 * - `pairs`: two texts that belong together.
 * - `scored-pairs`: two texts and a number.
 * - `triplets`: anchor, positive, and one negative or more.
 * - `scored-triplets`: the same with a number, or one number per text after the anchor.
 * - `flag-embedding`: a query with lists of positives and negatives, of which some are drawn in each epoch.
 */
export type DataKind =
  | 'texts'
  | 'labelled-texts'
  | 'text-vectors'
  | 'pairs'
  | 'scored-pairs'
  | 'triplets'
  | 'scored-triplets'
  | 'flag-embedding'

/** A row that was read and checked. */
export interface Row {
  /** The texts in the order of the format's columns; of flag-embedding: the query, all positives, all negatives. */
  texts: readonly string[]
  /** Of flag-embedding: how many of the texts are positives. */
  positives: number
  /** The numbers of the row; of flag-embedding: one per positive, then one per negative. */
  scores: readonly number[] | null
  /** The class of a text, or its group. */
  label: string | null
  category: string | null
  language: string | null
  id: string | null
  /** Put before the first text in place of the column's prompt. */
  prompt: string | null
}
