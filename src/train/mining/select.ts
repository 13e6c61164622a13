/**
 * Which of a query's nearest texts are its negatives, with the order of steps and the float32 arithmetic of
 * sentence-transformers: positives out, margins, greatest and smallest similarity, then the first `rangeMin` of what is
 * left are passed over.
 */
import { Random } from '../../core/random.js'
import type { Nearest } from './candidates.js'
import type { ResolvedMining } from './options.js'

export const FILTERS = ['absoluteMargin', 'relativeMargin', 'maxScore', 'minScore'] as const
export type Filter = (typeof FILTERS)[number]

/** The negatives of one query, best first. */
export interface Selected {
  places: number[]
  scores: number[]
}

export class Selection {
  /** Candidates that each filter dropped. */
  readonly dropped: Record<Filter, number> = { absoluteMargin: 0, relativeMargin: 0, maxScore: 0, minScore: 0 }
  private queries = 0

  constructor(
    private readonly options: ResolvedMining,
    private readonly rangeMax: number,
  ) {}

  /** Of query `query` of a block, whose number among all queries is `number`. */
  select(nearest: Nearest, query: number, k: number, positives: readonly number[], number: number): Selected {
    this.queries++
    const { rangeMin, includePositives, numNegatives, samplingStrategy, seed } = this.options
    const own = new Set(includePositives ? [] : positives)
    const least = nearest.positives[query]!.reduce((low, score) => Math.min(low, score), Infinity)
    const kept: Selected = { places: [], scores: [] }
    for (let i = query * k; i < (query + 1) * k && nearest.places[i]! >= 0; i++) {
      const [place, score] = [nearest.places[i]!, nearest.scores[i]!]
      if (own.has(place) || this.drops(score, least)) continue
      kept.places.push(place)
      kept.scores.push(score)
    }
    const places = kept.places.slice(rangeMin, this.rangeMax)
    const scores = kept.scores.slice(rangeMin, this.rangeMax)
    if (samplingStrategy === 'top' || places.length <= numNegatives)
      return { places: places.slice(0, numNegatives), scores: scores.slice(0, numNegatives) }
    const chosen = choose(places.length, numNegatives, new Random(seed, 'mining', 0, 0, number))
    return { places: chosen.map((i) => places[i]!), scores: chosen.map((i) => scores[i]!) }
  }

  private drops(score: number, least: number): boolean {
    const { absoluteMargin, relativeMargin, maxScore, minScore } = this.options.filters
    const { fround } = Math
    let filter: Filter | null = null
    if (absoluteMargin !== undefined && fround(score + fround(absoluteMargin)) > least) filter = 'absoluteMargin'
    else if (relativeMargin !== undefined && score > fround(least - fround(Math.abs(least) * fround(relativeMargin))))
      filter = 'relativeMargin'
    else if (maxScore !== undefined && score > fround(maxScore)) filter = 'maxScore'
    else if (minScore !== undefined && score < fround(minScore)) filter = 'minScore'
    if (filter === null) return false
    this.dropped[filter]++
    return true
  }

  /**
   * Candidates that a filter saw, as sentence-transformers counts them: all places of the nearest, less what the
   * margins before it dropped.
   */
  seen(filter: Filter, k: number): number {
    const { absoluteMargin, relativeMargin } = this.dropped
    const all = this.queries * k
    if (filter === 'absoluteMargin') return all
    return filter === 'relativeMargin' ? all - absoluteMargin : all - absoluteMargin - relativeMargin
  }
}

/** `count` of n numbers, each as likely as any, in ascending order. */
function choose(n: number, count: number, random: Random): number[] {
  const drawn = new Map<number, number>() // the first items of a Fisher-Yates shuffle
  const chosen: number[] = []
  for (let i = 0; i < count; i++) {
    const j = i + random.below(n - i)
    chosen.push(drawn.get(j) ?? j)
    drawn.set(j, drawn.get(i) ?? i)
  }
  return chosen.sort((a, b) => a - b)
}
