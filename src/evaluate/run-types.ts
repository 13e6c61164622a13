/** The types of evaluateRun. */
import type { Interval, ItemScores, ResamplingOptions, View } from './statistics/types.js'
import type { RelevantDocs, TextsById } from './types.js'

/** Scores of documents by query: maps or objects. */
export type RunScores =
  | ReadonlyMap<string | number, ReadonlyMap<string | number, number> | Readonly<Record<string, number>>>
  | Readonly<Record<string, ReadonlyMap<string | number, number> | Readonly<Record<string, number>>>>

/** Options of evaluateRun. */
export interface RunOptions {
  /** A TREC run (`query Q0 document rank score id`, also with .gz), or scores in memory. */
  run: string | RunScores
  /** The judgments: TREC qrels, a table of BEIR, jsonl, parquet, or grades in memory; whole numbers. */
  qrels: RelevantDocs
  /**
   * Names of trec_eval, such as `'map'`, `'P_10'`, or `'P'` with its cutoffs. Default: the official measures, recall,
   * success, nDCG and MAP at cutoffs.
   */
  measures?: readonly string[]
  /** The measure that is the score. Default: `'ndcg_cut_10'` where it is measured, else the first mean. */
  primaryMetric?: string
  /** The lowest grade of a relevant document. Default 1. */
  relevanceLevel?: number
  /** Means over all judged queries, 0 for those without results, as `trec_eval -c`. Default false. */
  complete?: boolean
  /** Documents without a judgment are taken out first, as `trec_eval -J`. Default false. */
  judgedOnly?: boolean
  /** Documents of each query that count, as `trec_eval -M`. Default: all. */
  maxDocuments?: number
  /** A document with the id of its query is taken out first, as BEIR does. Default false. */
  ignoreIdentical?: boolean
  /**
   * Whose rules. 9 (and pytrec_eval, which BEIR and MTEB use): scores are compared as float32. 10: as float64; levels
   * of recall are rounded. Default 9.
   */
  version?: 9 | 10
  /** Put before the names of the metrics, with `_`. Default: none. */
  name?: string
  /** The metrics of each query in the result. Default false. */
  perQuery?: boolean
  /** Texts of the queries, for views. */
  queries?: TextsById
  /** Fields of the queries, `'length'`, or `'popularity'`: the score by group. */
  views?: readonly string[]
  /** The quote of csv files; `'none'`: quotes are ordinary characters. Default `'"'`. */
  quote?: string
  /** Intervals of the score and of each view. Default false. */
  intervals?: boolean | ResamplingOptions
  /** The score of each query in the result. Default false. */
  items?: boolean
  signal?: AbortSignal
}

/** The result of evaluateRun: plain data, also for JSON. */
export interface RunEvaluation {
  readonly task: 'run'
  readonly name: string
  /** The last field of the run file; null in memory. */
  readonly runId: string | null
  readonly primaryMetric: string
  readonly score: number
  /** By the names of trec_eval. */
  readonly metrics: Readonly<Record<string, number>>
  /** Queries that the means are over. */
  readonly rows: number
  readonly perQuery?: Readonly<Record<string, Readonly<Record<string, number>>>>
  /** Queries of the run without judgments, which are passed over. */
  readonly unjudgedQueries: number
  /** Judged queries without results; without `complete` they are passed over. */
  readonly missingQueries: number
  /** Retrieved documents without a judgment, of judged queries. */
  readonly unjudgedDocuments: number
  readonly interval?: Interval
  readonly views?: readonly View[]
  readonly items?: ItemScores
  readonly seconds: number
}
