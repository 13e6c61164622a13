/**
 * The k nearest texts of the corpus for each query of a block. Similarities are computed natively in tiles of bounded
 * size and merged as they come; the matrix of queries by corpus never exists. While one tile is read here, the next is
 * computed.
 */
import { setImmediate } from 'node:timers/promises'
import { abortError } from '../../core/abort.js'
import { allocate } from '../../core/memory.js'
import type { SimilarityName } from '../../core/names.js'
import { compare } from '../../core/vectors.js'

/** Queries of a block. More make better use of the corpus in the cache, and need more memory for their nearest. */
export const BLOCK_QUERIES = 256
/** Numbers of a tile, which take a millisecond or two to read. */
const TILE = 1 << 19

/** The nearest texts of each query, best first; of equal similarities the text with the lower place comes first. */
export interface Nearest {
  /** [queries, k]; -Infinity where the corpus has fewer texts. */
  scores: Float32Array
  /** [queries, k]: places in the corpus; -1 where there is none. */
  places: Int32Array
  /** Similarities of each query to its positives, in their order. */
  positives: Float32Array[]
}

export interface Search {
  /** [texts, dimension] */
  corpus: Float32Array
  dimension: number
  metric: SimilarityName
  k: number
  signal: AbortSignal | null
}

/** `queries`: [count, dimension]. `positives`: places in the corpus, a list per query. */
export async function nearestTexts(
  queries: Float32Array,
  positives: readonly (readonly number[])[],
  { corpus, dimension, metric, k, signal }: Search,
): Promise<Nearest> {
  const count = queries.length / dimension
  const texts = corpus.length / dimension
  const nearest: Nearest = {
    scores: allocate(count * k).fill(-Infinity),
    places: allocate(count * k, Int32Array).fill(-1),
    positives: positives.map((list) => new Float32Array(list.length)),
  }
  const width = Math.max(1, Math.floor(TILE / count))
  const buffers = [allocate(count * width), allocate(count * width)]
  const compute = (first: number, buffer: Float32Array): Promise<Float32Array> => {
    const last = Math.min(texts, first + width)
    const tile = buffer.subarray(0, count * (last - first))
    const part = corpus.subarray(first * dimension, last * dimension)
    return compare(queries, part, dimension, metric, tile, signal ?? undefined).then(() => tile)
  }
  const wanted = positivesByPlace(positives)
  let next: Promise<Float32Array> | null = compute(0, buffers[0]!)
  for (let first = 0, turn = 1; next !== null; first += width, turn ^= 1) {
    const tile: Float32Array = await next
    const following = first + width
    next = following < texts ? compute(following, buffers[turn]!) : null
    next?.catch(() => undefined) // it is awaited in the next round
    const columns = tile.length / count
    wanted.take(first, first + columns, (query, i, place) => {
      nearest.positives[query]![i] = tile[query * columns + place - first]!
    })
    for (let query = 0; query < count; query++) merge(tile, query * columns, columns, first, nearest, query * k, k)
    await setImmediate()
    if (signal?.aborted === true) {
      await next?.catch(() => undefined)
      throw abortError(signal)
    }
  }
  return nearest
}

/** Puts the numbers of a row of a tile into the sorted list at `list`. */
function merge(
  tile: Float32Array,
  from: number,
  columns: number,
  firstPlace: number,
  { scores, places }: Nearest,
  list: number,
  k: number,
): void {
  const last = list + k - 1
  let least = scores[last]!
  for (let column = 0; column < columns; column++) {
    const score = tile[from + column]!
    if (!(score > least)) continue
    // After those that are equal, which have lower places.
    let [low, high] = [list, last]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (scores[middle]! >= score) low = middle + 1
      else high = middle
    }
    scores.copyWithin(low + 1, low, last)
    places.copyWithin(low + 1, low, last)
    scores[low] = score
    places[low] = firstPlace + column
    least = scores[last]!
  }
}

/** The positives of a block in the order of the corpus, so that each tile finds its own. */
function positivesByPlace(positives: readonly (readonly number[])[]): {
  take(from: number, to: number, each: (query: number, i: number, place: number) => void): void
} {
  const all = positives.flatMap((list, query) => list.map((place, i) => ({ query, i, place })))
  all.sort((a, b) => a.place - b.place)
  let next = 0
  return {
    take(_from, to, each) {
      for (; next < all.length && all[next]!.place < to; next++) {
        const { query, i, place } = all[next]!
        each(query, i, place)
      }
    },
  }
}
