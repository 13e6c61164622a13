/**
 * The measures of trec_eval by its names and formulas. Ranks count from 1; a document is relevant when its grade is at
 * least the relevance level; a list that is shorter than a cutoff counts as filled up with documents that are not.
 */
import { NOT_JUDGED, type Ranking } from './ranking.js'

/** How the values of the queries become one: their mean, sum, or the exponential of the mean of logarithms. */
export type Average = 'mean' | 'sum' | 'geometric'

export interface Measure {
  name: string
  average: Average
  /** Of `geometric` measures, the logarithm. */
  of(ranking: Ranking): number
}

/** The least value that a geometric mean takes. */
export const LEAST_GEOMETRIC = 1e-5
const EPSILON = 1e-5
export const CUTOFFS = [5, 10, 15, 20, 30, 100, 200, 500, 1000]
const RECALLS = Array.from({ length: 11 }, (_, i) => i / 10)

const one = (name: string, of: Measure['of'], average: Average = 'mean'): Measure => ({ name, average, of })

/** Measures without a cutoff. */
const PLAIN: readonly Measure[] = [
  one('num_q', () => 1, 'sum'),
  one('num_ret', ({ grades }) => grades.length, 'sum'),
  one('num_rel', ({ relevant }) => relevant, 'sum'),
  one('num_rel_ret', ({ relevantRetrieved }) => relevantRetrieved, 'sum'),
  one('num_nonrel_judged_ret', ({ grades, level }) => count(grades, (grade) => grade >= 0 && grade < level), 'sum'),
  one('map', (ranking) => averagePrecision(ranking, Infinity)),
  one('gm_map', (ranking) => Math.log(Math.max(averagePrecision(ranking, Infinity), LEAST_GEOMETRIC)), 'geometric'),
  one('Rprec', (ranking) => ratio(relevantWithin(ranking, ranking.relevant), ranking.relevant)),
  one('bpref', bpref),
  one('gm_bpref', (ranking) => Math.log(Math.max(bpref(ranking), LEAST_GEOMETRIC)), 'geometric'),
  one('recip_rank', ({ grades, level }) => {
    const first = grades.findIndex((grade) => grade >= level)
    return first < 0 ? 0 : 1 / (first + 1)
  }),
  one('infAP', inferredAveragePrecision),
  one('ndcg', (ranking) => ratio(gain(ranking.grades, Infinity), gain(ranking.ideal, Infinity))),
  one('set_P', ({ relevantRetrieved, grades }) => ratio(relevantRetrieved, grades.length)),
  one('set_recall', ({ relevantRetrieved, relevant }) => ratio(relevantRetrieved, relevant)),
  one('set_map', ({ relevantRetrieved: found, grades, relevant }) => ratio(found * found, grades.length * relevant)),
  one('set_F', ({ relevantRetrieved: found, grades, relevant }) => {
    const [precision, recall] = [ratio(found, grades.length), ratio(found, relevant)]
    return ratio(2 * precision * recall, precision + recall)
  }),
]

/** Measures with a cutoff, whose names end in it. */
const CUT: Readonly<Record<string, { cutoffs: readonly number[]; of: (ranking: Ranking, k: number) => number }>> = {
  P: { cutoffs: CUTOFFS, of: (ranking, k) => relevantWithin(ranking, k) / k },
  recall: { cutoffs: CUTOFFS, of: (ranking, k) => ratio(relevantWithin(ranking, k), ranking.relevant) },
  success: { cutoffs: [1, 5, 10], of: (ranking, k) => (relevantWithin(ranking, k) > 0 ? 1 : 0) },
  ndcg_cut: { cutoffs: CUTOFFS, of: ({ grades, ideal }, k) => ratio(gain(grades, k), gain(ideal, k)) },
  map_cut: { cutoffs: CUTOFFS, of: averagePrecision },
}

/** What is measured unless measures are named: the official ones of trec_eval, and those of search. */
export const DEFAULT_MEASURES = [
  'num_q',
  'num_ret',
  'num_rel',
  'num_rel_ret',
  'map',
  'gm_map',
  'Rprec',
  'bpref',
  'recip_rank',
  'iprec_at_recall',
  'P',
  'recall',
  'success',
  'ndcg',
  'ndcg_cut',
  'map_cut',
] as const

/** All names, those with a cutoff without it. */
export const MEASURE_NAMES = [...PLAIN.map(({ name }) => name), 'iprec_at_recall', '11pt_avg', ...Object.keys(CUT)]

/**
 * The measures of a name, such as `map`, `P_10`, or `P` with the cutoffs of trec_eval; null = no such name.
 * `version`: in trec_eval 9, recall levels become numbers of documents by cutting off r * relevant + 0.9, in 10 by
 * rounding.
 */
export function measuresOf(name: string, version: 9 | 10): Measure[] | null {
  const plain = PLAIN.find((measure) => measure.name === name)
  if (plain !== undefined) return [plain]
  if (name === '11pt_avg')
    return [one(name, (ranking) => interpolated(ranking, version).reduce((sum, value) => sum + value, 0) / 11)]
  const levels = RECALLS.map((recall, i) =>
    one(`iprec_at_recall_${recall.toFixed(2)}`, (ranking) => interpolated(ranking, version)[i]!),
  )
  if (name === 'iprec_at_recall') return levels
  const level = levels.find((measure) => measure.name === name)
  if (level !== undefined) return [level]
  const [, stem, cutoff] = /^(.+?)(?:_([1-9]\d{0,8}))?$/.exec(name) ?? []
  if (stem === undefined || !Object.hasOwn(CUT, stem)) return null
  const { cutoffs, of } = CUT[stem]!
  return (cutoff === undefined ? cutoffs : [Number(cutoff)]).map((k) =>
    one(`${stem}_${k}`, (ranking) => of(ranking, k)),
  )
}

const ratio = (a: number, b: number): number => (b === 0 ? 0 : a / b)

function count(grades: readonly number[], wanted: (grade: number) => boolean): number {
  let found = 0
  for (const grade of grades) if (wanted(grade)) found++
  return found
}

function relevantWithin({ grades, level }: Ranking, k: number): number {
  let found = 0
  for (let i = 0; i < Math.min(k, grades.length); i++) if (grades[i]! >= level) found++
  return found
}

/** The sum of the precisions at the ranks of relevant documents up to k, divided by all relevant documents. */
function averagePrecision({ grades, level, relevant }: Ranking, k: number): number {
  let [found, sum] = [0, 0]
  for (let i = 0; i < Math.min(k, grades.length); i++) if (grades[i]! >= level) sum += ++found / (i + 1)
  return ratio(sum, relevant)
}

/** The sum of grade / log2(rank + 1); the relevance level has no part in it. */
function gain(grades: readonly number[], k: number): number {
  let sum = 0
  for (let i = 0; i < Math.min(k, grades.length); i++) if (grades[i]! > 0) sum += grades[i]! / Math.log2(i + 2)
  return sum
}

/**
 * The mean over relevant documents of 1 - (judged ones before it that are not relevant) / min(relevant, not relevant),
 * of which no more than the number of relevant documents count. Documents without a judgment are passed over.
 */
function bpref({ grades, level, relevant, notRelevant }: Ranking): number {
  let [before, sum] = [0, 0]
  for (const grade of grades) {
    if (grade < 0) continue
    if (grade < level) before++
    else sum += before === 0 ? 1 : 1 - Math.min(before, relevant) / Math.min(notRelevant, relevant)
  }
  return ratio(sum, relevant)
}

/** Average precision where only a sample of the pool is judged (Yilmaz and Aslam, 2006). */
function inferredAveragePrecision({ grades, level, relevant }: Ranking): number {
  let [wrong, right, leftOut, sum] = [0, 0, 0, 0]
  grades.forEach((grade, j) => {
    if (grade === NOT_JUDGED) return
    if (grade < 0) leftOut++
    else if (grade < level) wrong++
    else {
      const pooled = right + wrong + leftOut
      const precision = (right + EPSILON) / (right + wrong + 2 * EPSILON)
      sum += j === 0 ? 1 : 1 / (j + 1) + (j / (j + 1)) * (pooled / j) * precision
      right++
    }
  })
  return ratio(sum, relevant)
}

/** The greatest precision at or after each of eleven levels of recall. */
function interpolated({ grades, level, relevant, relevantRetrieved }: Ranking, version: 9 | 10): number[] {
  const cuts = RECALLS.map((recall) =>
    version === 9 ? Math.floor(recall * relevant + 0.9) : Math.round(recall * relevant),
  )
  const values = cuts.map(() => 0)
  let cut = cuts.length - 1
  while (cut >= 0 && cuts[cut]! > relevantRetrieved) cut--
  let best = ratio(relevantRetrieved, grades.length)
  let found = relevantRetrieved
  for (let rank = grades.length; rank > 0 && found > 0; rank--) {
    best = Math.max(best, found / rank)
    if (grades[rank - 1]! < level) continue
    while (cut >= 0 && cuts[cut] === found) values[cut--] = best
    found--
  }
  while (cut >= 0) values[cut--] = best
  return values
}
