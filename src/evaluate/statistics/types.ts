/** The types of intervals, comparisons and views. */

/** How the scores of items make the score of all. */
export type StatisticName = 'mean' | 'spearman' | 'average_precision'

/** The scores of single items (queries, pairs, texts) behind a score: plain data, also for JSON. */
export interface ItemScores {
  /** The metric that they make. */
  readonly metric: string
  /**
   * `'mean'`: of the values. `'spearman'`: correlation of the values with the labels. `'average_precision'`: of the
   * values, the greatest first, where the label is 1 or 0.
   */
  readonly statistic: StatisticName
  /** Ids of queries, or numbers of rows from 0. */
  readonly ids: readonly string[]
  readonly values: readonly number[]
  readonly labels?: readonly number[]
  /** The group of each item, by view. */
  readonly groups?: Readonly<Record<string, readonly string[]>>
  /** SHA-256 of the texts and labels, so that items of other data are not compared; null where the ids say it. */
  readonly digest: string | null
}

/** Options of what is drawn at random. */
export interface ResamplingOptions {
  /** Resamples of the items. Default 2000. */
  samples?: number
  /** Share of the resamples that lie within an interval. Default 0.95. */
  level?: number
  /** Default 0. */
  seed?: number
}

/** A percentile interval of the bootstrap: items are drawn with replacement. */
export interface Interval {
  readonly low: number
  readonly high: number
  readonly level: number
  readonly samples: number
}

/** One group of a view. */
export interface ViewGroup {
  readonly group: string
  readonly items: number
  readonly score: number
  /** With the option `intervals`; absent where no resample has a score. */
  readonly interval?: Interval
}

/** The score by group: by language, category, length, or place in the catalogue. */
export interface View {
  readonly view: string
  readonly groups: readonly ViewGroup[]
  /** The group of the lowest score. */
  readonly worst: string
}

/** The difference between two models on the same items. */
export interface Comparison {
  readonly metric: string
  readonly items: number
  readonly baseline: number
  readonly score: number
  /** score - baseline */
  readonly difference: number
  /** Of the difference, by the paired bootstrap. */
  readonly interval: Interval
  /**
   * Probability of a difference as large by chance. `'permutation'`: by random signs of the differences of the items.
   * `'bootstrap'`: twice the smaller share of resampled differences on one side of 0, for other statistics than means.
   */
  readonly p: number
  readonly method: 'permutation' | 'bootstrap'
}
