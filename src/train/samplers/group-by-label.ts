/**
 * `group-by-label`: every label that is in a batch is in it at least twice, with at least one other label, as losses
 * that mine triplets in the batch need it. As in sentence-transformers: labels take turns and give two rows each, in an
 * order that is drawn anew in every round; the stream is cut into batches. It ends when one label is left. A label with
 * an odd number of rows leaves one out, another one in every epoch.
 */
import { EmbedCoreError } from '../../core/errors.js'
import { groupRows, PlanBuilder, type Plan } from './planned.js'
import { Random, shuffle } from '../../core/random.js'
import type { OrderSettings } from './row-order.js'

export function* groupByLabel(
  { facts, batchSize, dropLast, seed, source }: OrderSettings,
  epoch: number,
): Generator<void, Plan, undefined> {
  const random = new Random(seed, 'order', epoch, source)
  const { rows, starts } = yield* groupRows(facts.labels!)
  const groups = starts.length - 1
  const next = starts.slice(0, groups) // the next row of each label
  const ends = new Uint32Array(groups)
  const labels: number[] = []
  let alone = 0
  let odd = 0
  for (let label = 0; label < groups; label++) {
    const count = starts[label + 1]! - starts[label]!
    shuffle(rows, random, starts[label], starts[label + 1])
    if (count === 1) alone++
    else if (count > 1) {
      labels.push(label)
      odd += count % 2
      ends[label] = starts[label]! + count - (count % 2)
    }
    yield
  }
  if (labels.length < 2)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_DATA',
      `Expected at least two labels with two rows or more for the sampler 'group-by-label' but found ${labels.length}`,
    )
  const builder = new PlanBuilder(facts.count)
  let batch: number[] = []
  let left = labels
  let last = -1
  while (left.length >= 2) {
    shuffle(left, random)
    // The label that ended the round before does not begin this one, else a batch of four could hold it alone.
    if (left[0] === last) [left[0], left[1]] = [left[1]!, left[0]!]
    last = left.at(-1)!
    for (const label of left) {
      batch.push(rows[next[label]!]!, rows[next[label]! + 1]!)
      next[label]! += 2
      if (batch.length < batchSize) continue
      builder.add(batch)
      batch = []
    }
    left = left.filter((label) => next[label]! < ends[label]!)
    yield
  }
  // Two labels took turns before, so four rows are of two labels.
  if (!dropLast && batch.length >= 4) builder.add(batch)
  const used = builder.count
  return builder.finish([
    { rows: alone, reason: 'their label has no other row' },
    { rows: odd, reason: 'their label has an odd number of rows' },
    { rows: facts.count - used - alone - odd, reason: 'no other label was left, or they did not fill a batch' },
  ])
}
