/** The ranking of one query as trec_eval sees it: the grades of the documents in their order, and counts. */
import { comesBefore } from '../nearest-documents.js'
import type { Slices } from '../slices.js'
import { sortedOrder } from '../sorting.js'
import type { Grades } from './judgments.js'
import type { Retrieved } from './run-scores.js'

/** The grade of a document without a judgment, and of one that was to be judged and was not. */
export const NOT_JUDGED = -1
export const LEFT_OUT = -2

export interface Ranking {
  /** Grades of the retrieved documents in their order, NOT_JUDGED and LEFT_OUT among them. */
  grades: number[]
  /** Grades of the judged documents above 0, the greatest first. */
  ideal: number[]
  relevant: number
  /** Judged documents that are not relevant. */
  notRelevant: number
  relevantRetrieved: number
  /** The lowest grade of a relevant document. */
  level: number
}

export interface RankingRules {
  relevanceLevel: number
  judgedOnly: boolean
  maxDocuments: number
  /** Scores are compared as float32: the memory of trec_eval 9 and of pytrec_eval. */
  float32: boolean
}

/** Documents in the order of their scores, the greatest first; equal ones by id, the last in code point order first. */
export async function rank(
  { ids, scores: given }: Retrieved,
  grades: Grades,
  rules: RankingRules,
  slices: Slices,
): Promise<Ranking> {
  const scores = rules.float32 ? Float32Array.from(given) : given
  const order = await sortedOrder(
    ids.length,
    (i, j) => scores[j]! - scores[i]! || (comesBefore(ids[j]!, ids[i]!) ? -1 : 1),
    slices,
  )
  let found: number[] = []
  for (const i of order.subarray(0, Math.min(order.length, rules.maxDocuments))) {
    const grade = grades.get(ids[i]!)
    found.push(grade === undefined ? NOT_JUDGED : grade < 0 ? LEFT_OUT : grade)
  }
  if (rules.judgedOnly) found = found.filter((grade) => grade >= 0)
  const level = rules.relevanceLevel
  const judged = [...grades.values()].filter((grade) => grade >= 0)
  const relevant = judged.filter((grade) => grade >= level).length
  return {
    grades: found,
    ideal: judged.filter((grade) => grade > 0).sort((a, b) => b - a),
    relevant,
    notRelevant: judged.length - relevant,
    relevantRetrieved: found.filter((grade) => grade >= level).length,
    level,
  }
}
