/**
 * Similarities of pairs of vectors: `pairwise_cos_sim` and its like in sentence-transformers. Sums are float64; each
 * similarity is rounded to float32, so that pairs that are equal in float32 have equal ranks.
 */
import type { SimilarityName } from '../core/names.js'

/** float32 vectors, or quantised ones. */
export type Numbers = Float32Array | Int8Array | Uint8Array

/** Vectors of `width` numbers, one after the other. */
export interface Rows<N extends Numbers = Float32Array> {
  readonly data: N
  readonly width: number
}

/** The similarity of row i of a and row j of b. */
export function pairSimilarity(kind: SimilarityName, a: Rows<Numbers>, i: number, b: Rows<Numbers>, j: number): number {
  return Math.fround(MEASURES[kind](a.data, i * a.width, b.data, j * b.width, a.width))
}

type Measure = (a: Numbers, i: number, b: Numbers, j: number, width: number) => number

/** The least length of a vector that divides: with it, the cosine to a vector of zeros is 0. */
const LEAST_LENGTH = 1e-12

const dot: Measure = (a, i, b, j, width) => {
  let sum = 0
  for (let d = 0; d < width; d++) sum += a[i + d]! * b[j + d]!
  return sum
}
const length = (a: Numbers, i: number, width: number): number =>
  Math.max(Math.sqrt(dot(a, i, a, i, width)), LEAST_LENGTH)

const MEASURES: Readonly<Record<SimilarityName, Measure>> = {
  dot,
  cosine: (a, i, b, j, width) => dot(a, i, b, j, width) / (length(a, i, width) * length(b, j, width)),
  euclidean: (a, i, b, j, width) => {
    let sum = 0
    for (let d = 0; d < width; d++) sum += (a[i + d]! - b[j + d]!) ** 2
    return -Math.sqrt(sum)
  },
  manhattan: (a, i, b, j, width) => {
    let sum = 0
    for (let d = 0; d < width; d++) sum += Math.abs(a[i + d]! - b[j + d]!)
    return -sum
  },
}
