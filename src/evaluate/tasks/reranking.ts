/**
 * RerankingEvaluator: how well the relevant ones of a query's own documents come first. nDCG and AP put equal scores
 * together, as scikit-learn does. MRR takes equal scores in their worst order, in which documents that are not relevant
 * come first; the reference takes them as its sort leaves them, with the positives ahead.
 */
import { invalidData } from '../../data/data-file.js'
import { regrouped } from '../encoding.js'
import { pairSimilarity, type Rows } from '../pairs.js'
import { RowItems } from '../row-items.js'
import { GrowingList, type Measured, type Run } from '../run.js'
import { type Column, openTable, type Row } from '../table.js'
import type { CheckedReranking } from './options.js'

const COLUMNS: readonly Column[] = [
  { name: 'query', type: 'text' },
  { name: 'positive', type: 'texts' },
  { name: 'negative', type: 'texts' },
]

export async function evaluateReranking(evaluator: CheckedReranking, run: Run): Promise<Measured> {
  const { encoding, slices, batchSize } = run
  const { atK, dimensions } = evaluator
  const similarity = evaluator.similarity ?? run.similarity
  const table = await openTable(evaluator, COLUMNS, run.signal)
  run.extent = { total: null, share: table.share }
  const rows = new RowItems(evaluator.views, COLUMNS.length)
  const values = {
    map: new GrowingList(Float64Array),
    mrr: new GrowingList(Float64Array),
    ndcg: new GrowingList(Float64Array),
  }
  let documents = 0
  async function* complete(): AsyncGenerator<Row[]> {
    for await (const group of table.groups) yield group.filter((row) => sides(row).every((side) => side.length > 0))
  }
  const encodeRows = async (batch: readonly Row[]): Promise<{ queries: Rows; texts: Rows }> => {
    const queries = encoding.rows(
      batch.map((row) => row[0] as string),
      { dimensions, kind: 'query' },
    )
    const texts = encoding.all(
      batch.flatMap((row) => sides(row).flat()),
      batchSize,
      { dimensions, kind: 'document' },
    )
    const [first, second] = await Promise.all([queries, texts])
    return { queries: first, texts: second }
  }
  const batches = regrouped(complete(), Math.min(batchSize, 32), slices)
  for await (const { item, result } of encoding.overlapping(batches, encodeRows)) {
    let place = 0
    for (const [q, row] of item.entries()) {
      if (slices.over) await slices.next()
      const [positive, negative] = sides(row)
      const scores = Float32Array.from({ length: positive.length + negative.length }, (_, d) =>
        pairSimilarity(similarity, result.queries, q, result.texts, place + d),
      )
      place += scores.length
      documents += scores.length
      const found = measure(scores, positive.length, atK)
      values.map.push(found.map)
      values.mrr.push(found.mrr)
      values.ndcg.push(found.ndcg)
      rows.add(row)
    }
  }
  if (rows.count === 0) throw invalidData('Expected a query with a positive and a negative document but found none')
  return {
    metrics: { map: mean(values.map), [`mrr@${atK}`]: mean(values.mrr), [`ndcg@${atK}`]: mean(values.ndcg) },
    primary: `ndcg@${atK}`,
    rows: rows.count,
    documents,
    items: { metric: `ndcg@${atK}`, statistic: 'mean', values: values.ndcg.values, ...(await rows.details(slices)) },
  }
}

const sides = (row: Row): [readonly string[], readonly string[]] => [row[1] as string[], row[2] as string[]]
const mean = ({ values }: GrowingList<Float64Array>): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length

/** The metrics of one query, whose first documents are relevant. */
export function measure(scores: Float32Array, relevant: number, k: number): { map: number; mrr: number; ndcg: number } {
  const order = Array.from(scores, (_, i) => i).sort((i, j) => scores[j]! - scores[i]!)
  let [right, precisions, gain, reciprocal] = [0, 0, 0, 0]
  for (let start = 0, end = 0; start < order.length; start = end) {
    let hits = 0
    for (; end < order.length && scores[order[end]!] === scores[order[start]!]; end++)
      if (order[end]! < relevant) hits++
    let discounts = 0
    for (let rank = start; rank < Math.min(end, k); rank++) discounts += 1 / Math.log2(rank + 2)
    gain += (hits / (end - start)) * discounts
    // The first relevant one of equal scores stands behind the others.
    const first = end - hits
    if (hits > 0 && right === 0) reciprocal = first < k ? 1 / (first + 1) : 0
    right += hits
    precisions += (hits * right) / end
  }
  let ideal = 0
  for (let rank = 0; rank < Math.min(relevant, k); rank++) ideal += 1 / Math.log2(rank + 2)
  return { map: precisions / relevant, mrr: reciprocal, ndcg: gain / ideal }
}
