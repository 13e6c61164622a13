/**
 * `cross-language`: batches whose negatives are of the same category and, as far as there are some, of another
 * language. Every row of a batch has in it a row of its category in another language, and no two rows have one id:
 * translations of one product are not each other's negatives.
 *
 * The languages of a category are spread evenly over its rows, which are cut into batches. What is left of a category,
 * and small categories, share batches; such a batch may be some rows short, because a category never enters it with one
 * language alone.
 */
import { EmbedCoreError } from '../../core/errors.js'
import { groupRows, PlanBuilder, type Plan } from './planned.js'
import { Random, shuffle } from '../../core/random.js'
import type { OrderSettings } from './row-order.js'

/** Categories tried to fill the rest of a batch. */
const TRIED = 32

export function* crossLanguage(
  { facts, batchSize, dropLast, seed, source }: OrderSettings,
  epoch: number,
): Generator<void, Plan, undefined> {
  const random = new Random(seed, 'order', epoch, source)
  const languages = facts.languages!
  const { rows, starts } = yield* groupRows(facts.categories!)
  const batches: Uint32Array[] = []
  const rests: Uint32Array[] = []
  let oneLanguage = 0
  let cutOff = 0
  for (let category = 0; category < starts.length - 1; category++) {
    const own = rows.subarray(starts[category], starts[category + 1])
    if (!isMixed(own, languages)) {
      oneLanguage += own.length
      continue
    }
    const spread = yield* spreadLanguages(own, languages, random)
    for (const chunk of cut(spread, facts.ids, batchSize)) {
      if (!isMixed(chunk, languages)) cutOff += chunk.length
      else (chunk.length === batchSize ? batches : rests).push(chunk)
      yield
    }
  }
  if (batches.length + rests.length === 0)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_DATA',
      `Expected a category with rows of two languages for the sampler 'cross-language' but found none ` +
        `among ${starts.length - 1}`,
    )
  shuffle(rests, random)
  const joined = yield* joinRests(rests, languages, facts.ids, batchSize)
  let dropped = 0
  if (dropLast && joined.length > 0 && joined.at(-1)!.length < batchSize) dropped = joined.pop()!.length
  for (const batch of joined) batches.push(batch)
  shuffle(batches, random)
  const builder = new PlanBuilder(facts.count)
  for (const batch of batches) builder.add(batch)
  return builder.finish([
    { rows: oneLanguage, reason: 'their category has one language' },
    { rows: cutOff, reason: 'their category has too few rows of other languages' },
    { rows: dropped, reason: 'they did not fill a batch' },
  ])
}

function isMixed(rows: ArrayLike<number>, languages: Int32Array): boolean {
  for (let i = 1; i < rows.length; i++) if (languages[rows[i]!] !== languages[rows[0]!]) return true
  return false
}

/** The rows of a category in random order, so that every run of them has languages in about the same shares. */
function* spreadLanguages(
  rows: Uint32Array,
  languages: Int32Array,
  random: Random,
): Generator<void, Uint32Array, undefined> {
  const own = new Map<number, number[]>()
  for (const row of rows) {
    const list = own.get(languages[row]!)
    if (list === undefined) own.set(languages[row]!, [row])
    else list.push(row)
  }
  // Row i of n of a language stands at (i + offset) / n of the way.
  const queues = [...own.values()].map((list) => ({ list, next: 0, offset: random.unit() }))
  for (const { list } of queues) {
    shuffle(list, random)
    yield
  }
  const spread = new Uint32Array(rows.length)
  for (let i = 0; i < spread.length; i++) {
    let first = queues[0]!
    let least = Infinity
    for (const queue of queues) {
      const place = (queue.next + queue.offset) / queue.list.length
      if (queue.next < queue.list.length && place < least) [first, least] = [queue, place]
    }
    spread[i] = first.list[first.next++]!
    if (i % 8192 === 8191) yield
  }
  return spread
}

/** Runs of at most `size` rows with different ids; a row whose id is there already waits for the next run. */
function* cut(rows: Uint32Array, ids: Uint32Array | null, size: number): Generator<Uint32Array> {
  let waiting: number[] = []
  let next = 0
  while (waiting.length > 0 || next < rows.length) {
    const chunk: number[] = []
    const seen = new Set<number>()
    const still: number[] = []
    const take = (row: number): void => {
      if (chunk.length < size && (ids === null || !seen.has(ids[row]!))) {
        chunk.push(row)
        if (ids !== null) seen.add(ids[row]!)
      } else still.push(row)
    }
    waiting.forEach(take)
    while (chunk.length < size && next < rows.length) take(rows[next++]!)
    waiting = still
    yield Uint32Array.from(chunk)
  }
}

/** Batches of what is left of categories. */
function* joinRests(
  rests: readonly Uint32Array[],
  languages: Int32Array,
  ids: Uint32Array | null,
  size: number,
): Generator<void, Uint32Array[], undefined> {
  const batches: Uint32Array[] = []
  const queue = [...rests]
  let head = 0
  while (head < queue.length) {
    const batch: number[] = []
    const seen = new Set<number>()
    for (let i = head; i < Math.min(queue.length, head + TRIED) && batch.length < size; i++) {
      const rest = queue[i]!
      if (ids !== null && rest.some((row) => seen.has(ids[row]!))) continue
      const room = size - batch.length
      const part = rest.length <= room ? rest : rest.subarray(0, room)
      const remainder = rest.subarray(part.length)
      if (remainder.length > 0 && !(isMixed(part, languages) && isMixed(remainder, languages))) continue
      for (const row of part) {
        batch.push(row)
        if (ids !== null) seen.add(ids[row]!)
      }
      if (remainder.length > 0) queue[i] = remainder
      else queue[i] = queue[head++]! // those before it move up
    }
    batches.push(Uint32Array.from(batch))
    yield
  }
  return batches
}
