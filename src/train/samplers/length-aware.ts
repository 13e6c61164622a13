/**
 * `length-aware`: batches of texts of similar length, so that a step takes about as long as its longest text suggests.
 * Rows come in random order; each run of `bucketBatches` batches is sorted by length and cut; then the batches of the
 * epoch are shuffled, so that lengths do not follow each other.
 */
import { PlanBuilder, type Plan } from './planned.js'
import { Permutation, Random, shuffle } from '../../core/random.js'
import { batchCount, type OrderSettings } from './row-order.js'

export function* lengthAware(
  { facts, batchSize, dropLast, seed, source }: OrderSettings,
  epoch: number,
  bucketBatches: number,
): Generator<void, Plan, undefined> {
  const lengths = facts.lengths!
  const permutation = new Permutation(facts.count, new Random(seed, 'order', epoch, source))
  const batches = batchCount(facts.count, batchSize, dropLast)
  // Rows that will not fill a batch are left out before the sort, so that their length does not matter.
  const rows = new Uint32Array(Math.min(facts.count, batches * batchSize))
  for (let i = 0; i < rows.length; i++) {
    rows[i] = permutation.at(i)
    if (i % 4096 === 4095) yield
  }
  const bucket = batchSize * bucketBatches
  for (let start = 0; start < rows.length; start += bucket) {
    // Equal lengths keep the random order of the rows.
    const run = Array.from(rows.subarray(start, start + bucket), (row, i) => ({ row, i }))
    run.sort((a, b) => lengths[a.row]! - lengths[b.row]! || a.i - b.i)
    for (let i = 0; i < run.length; i++) rows[start + i] = run[i]!.row
    yield
  }
  const order = Uint32Array.from({ length: batches }, (_, i) => i)
  shuffle(order, new Random(seed, 'batches', epoch, source))
  const builder = new PlanBuilder(rows.length)
  for (const batch of order) {
    builder.add(rows.subarray(batch * batchSize, (batch + 1) * batchSize))
    if (batch % 256 === 0) yield
  }
  return builder.finish([{ rows: facts.count - rows.length, reason: 'they did not fill a batch' }])
}
