/** Metrics of ranked documents, by the formulas of sentence-transformers. Relevance is yes or no. */
import type { Cutoffs } from './options.js'

/** Means over queries, which are added one by one. */
export class RetrievalMetrics {
  private queries = 0
  /** The metrics of the query that was added last. */
  private last = new Map<string, number>()
  private readonly sums = new Map<string, number>()

  constructor(private readonly cutoffs: Cutoffs) {}

  /** The largest rank that a metric looks at. */
  static deepest({ accuracy, precisionRecall, mrr, ndcg, map }: Cutoffs): number {
    return [accuracy, precisionRecall, mrr, ndcg, map].flat().reduce((most, k) => Math.max(most, k), 1)
  }

  /**
   * `hits`: whether the document of each rank is relevant; `relevant`: number of all that are. Returns the metrics of
   * the query.
   */
  add(hits: readonly boolean[], relevant: number): ReadonlyMap<string, number> {
    this.last = new Map()
    const { accuracy, precisionRecall, mrr, ndcg, map } = this.cutoffs
    const found = hits.flatMap((hit, rank) => (hit ? [rank] : []))
    const within = (k: number): number => found.filter((rank) => rank < k).length
    const first = found[0] ?? Infinity
    for (const k of accuracy) this.count(`accuracy@${k}`, first < k ? 1 : 0)
    for (const k of precisionRecall) this.count(`precision@${k}`, within(k) / k)
    for (const k of precisionRecall) this.count(`recall@${k}`, within(k) / relevant)
    for (const k of ndcg) this.count(`ndcg@${k}`, gain(found, k) / ideal(relevant, k))
    for (const k of mrr) this.count(`mrr@${k}`, first < k ? 1 / (first + 1) : 0)
    for (const k of map) this.count(`map@${k}`, precisions(found, k) / Math.min(k, relevant))
    this.queries++
    return this.last
  }

  /** By name, each with the prefix. */
  means(prefix: string): Record<string, number> {
    return Object.fromEntries(Array.from(this.sums, ([name, sum]) => [`${prefix}_${name}`, sum / this.queries]))
  }

  private count(name: string, value: number): void {
    this.last.set(name, value)
    this.sums.set(name, (this.sums.get(name) ?? 0) + value)
  }
}

/** Discounted cumulative gain: the sum of 1 / log2(rank + 2) over the ranks of relevant documents below k. */
function gain(found: readonly number[], k: number): number {
  let sum = 0
  for (const rank of found) if (rank < k) sum += 1 / Math.log2(rank + 2)
  return sum
}

/** The gain of a ranking that has all relevant documents first. */
function ideal(relevant: number, k: number): number {
  let sum = 0
  for (let rank = 0; rank < Math.min(relevant, k); rank++) sum += 1 / Math.log2(rank + 2)
  return sum
}

/** The sum of the precisions at the ranks of relevant documents below k. */
function precisions(found: readonly number[], k: number): number {
  let sum = 0
  found.forEach((rank, i) => (sum += rank < k ? (i + 1) / (rank + 1) : 0))
  return sum
}
