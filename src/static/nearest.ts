/** Nearest words and analogies as requests of the addon. */
import { EmbedCoreError } from '../core/errors.js'
import { allocate } from '../core/memory.js'
import type { RawNearest, RawStaticVectors } from '../core/static-binding.js'
import { nativeCall } from './native-call.js'

/** A query: terms with signs, each a vector of length 1, and words that are not answers. */
export interface Query {
  terms: readonly { vector: Float32Array; negative: boolean }[]
  excluded: readonly number[]
}

export interface Answers {
  /** [queries, count]; -1 = there are no more words. */
  ids: Int32Array
  scores: Float32Array
}

export async function answer(
  raw: RawStaticVectors,
  queries: readonly Query[],
  { count, restrict, signal }: { count: number; restrict: number; signal?: AbortSignal | undefined },
): Promise<Answers> {
  const { dimension } = raw.info
  const terms = queries.reduce((sum, query) => sum + query.terms.length, 0)
  const excluded = queries.flatMap((query) => query.excluded)
  const request: RawNearest = {
    terms: allocate(terms * dimension),
    negative: allocate(terms, Uint8Array),
    offsets: new Int32Array(queries.length + 1),
    excluded: Int32Array.from(excluded),
    excludedOffsets: new Int32Array(queries.length + 1),
    count,
    restrict,
    ids: allocate(queries.length * count, Int32Array),
    scores: allocate(queries.length * count),
  }
  let [term, without] = [0, 0]
  queries.forEach((query, i) => {
    for (const { vector, negative } of query.terms) {
      request.terms.set(vector, term * dimension)
      request.negative[term++] = negative ? 1 : 0
    }
    request.offsets[i + 1] = term
    without += query.excluded.length
    request.excludedOffsets[i + 1] = without
  })
  await nativeCall((done) => raw.nearest(request, done), signal)
  return request
}

/** The vector divided by its length. @throws ERR_EMBEDCORE_INVALID_DATA for one of length 0 */
export function unit(vector: Float32Array, what: string): Float32Array {
  let squares = 0
  for (const value of vector) squares += value * value
  if (!(squares > 0 && Number.isFinite(squares)))
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_DATA', `Expected a direction but the vector of ${what} has none`)
  const length = Math.sqrt(squares)
  return vector.map((value) => value / length)
}

/**
 * The terms of an analogy: for 3CosAdd one vector, the sum of the signed unit vectors; for 3CosMul all of them.
 * @throws ERR_EMBEDCORE_INVALID_DATA where the sum is 0
 */
export function analogyTerms(
  positive: readonly Float32Array[],
  negative: readonly Float32Array[],
  method: '3CosAdd' | '3CosMul',
): Query['terms'] {
  const all = [
    ...positive.map((vector) => ({ vector: unit(vector, 'a positive term'), negative: false })),
    ...negative.map((vector) => ({ vector: unit(vector, 'a negative term'), negative: true })),
  ]
  if (method === '3CosMul' && all.length > 1) return all
  const sum = new Float32Array(all[0]!.vector.length)
  for (const { vector, negative: minus } of all)
    for (let d = 0; d < sum.length; d++) sum[d]! += minus ? -vector[d]! : vector[d]!
  return [{ vector: unit(sum, 'the sum of the terms'), negative: false }]
}
