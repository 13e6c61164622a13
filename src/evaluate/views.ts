/** Views: the group of each item, by its own fields, by the length of its text, by its place in the catalogue. */
import { allocate } from '../core/memory.js'
import { quantile } from './statistics/resampling.js'
import { eachInSlices, type Slices } from './slices.js'
import { sortedOrder } from './sorting.js'

/** Names of views that are computed; all others are fields of the data. */
const LENGTH = 'length'
const POPULARITY = 'popularity'

export interface CheckedViews {
  /** Fields of the data. */
  columns: readonly string[]
  length: boolean
  popularity: boolean
}

export const NO_VIEWS: CheckedViews = { columns: [], length: false, popularity: false }

/** `popularity` is computed where items have relevant documents; elsewhere it is a field like others. */
export function viewsOf(given: readonly string[] | undefined, hasPopularity = false): CheckedViews {
  const names = [...new Set(given ?? [])]
  return {
    columns: names.filter((name) => name !== LENGTH && (name !== POPULARITY || !hasPopularity)),
    length: names.includes(LENGTH),
    popularity: hasPopularity && names.includes(POPULARITY),
  }
}

/** The groups of items, which are added one by one. */
export class ViewLabels {
  private readonly labels: string[][]
  private readonly lengths: number[] = []
  private readonly popularity: string[] = []

  constructor(readonly views: CheckedViews) {
    this.labels = views.columns.map(() => [])
  }

  /** `labels`: the values of the columns of the views. */
  add(labels: readonly (string | number)[], text: string): void {
    this.labels.forEach((list, c) => list.push(String(labels[c])))
    if (this.views.length) this.lengths.push(characters(text))
  }

  addPopularity(group: string): void {
    if (this.views.popularity) this.popularity.push(group)
  }

  /** By view; undefined without views. */
  async groups(slices: Slices): Promise<Record<string, string[]> | undefined> {
    const groups: Record<string, string[]> = {}
    this.views.columns.forEach((name, c) => (groups[name] = this.labels[c]!))
    if (this.views.length) groups[LENGTH] = await byLength(this.lengths, slices)
    if (this.views.popularity) groups[POPULARITY] = this.popularity
    return Object.keys(groups).length === 0 ? undefined : groups
  }
}

/** Code points, so that a character outside of the first plane counts once. */
function characters(text: string): number {
  let count = 0
  for (const _ of text) count++
  return count
}

/** Four groups of about equal size, named by their numbers of characters; fewer where many lengths are equal. */
async function byLength(lengths: readonly number[], slices: Slices): Promise<string[]> {
  const order = await sortedOrder(lengths.length, (i, j) => lengths[i]! - lengths[j]!, slices)
  const sorted = allocate(lengths.length, Float64Array)
  await eachInSlices(lengths.length, slices, (i) => (sorted[i] = lengths[order[i]!]!))
  const edges = [...new Set([1, 2, 3].map((part) => Math.floor(quantile(sorted, part / 4))).concat(sorted.at(-1)!))]
  let least = sorted[0]!
  const names = edges.map((most) => {
    const name = least === most ? `${most} characters` : `${least}–${most} characters`
    least = most + 1
    return name
  })
  return lengths.map((length) => names[edges.findIndex((most) => length <= most)]!)
}

/** Share of the documents that are the head. */
const HEAD = 0.2

/**
 * Which documents are the head of the catalogue: the fifth that is most popular, of equally popular ones the first by
 * id. A query is of the head when one of its relevant documents is.
 */
export async function headOf(popularity: ReadonlyMap<string, number>, slices: Slices): Promise<ReadonlySet<string>> {
  const ids = [...popularity.keys()]
  const order = await sortedOrder(
    ids.length,
    (i, j) => popularity.get(ids[j]!)! - popularity.get(ids[i]!)! || (ids[i]! < ids[j]! ? -1 : 1),
    slices,
  )
  return new Set(Array.from(order.subarray(0, Math.ceil(HEAD * ids.length)), (i) => ids[i]!))
}
