/** The types of the raw addon for static vectors (native/binding/static_vectors.cc, static_trainer.cc). */
import type { RawDone, RawTask } from './binding.js'
import type { InvalidUtf8, StaticFormat } from './names.js'

export interface RawStaticVectorsInfo {
  format: StaticFormat
  words: number
  dimension: number
  /** Of the corpus; 0 = not known. */
  tokens: number
  /** Lengths of n-grams, and their buckets; 0 = there are no subwords. */
  minN: number
  maxN: number
  buckets: number
  duplicates: number
  repaired: number
  skipped: number
  /** Memory besides mapped files. */
  memoryBytes: number
  hasCounts: boolean
  hasOutputs: boolean
  mapped: boolean
}

/** native/static/nearest.h. Nobody may change the arrays before `done`. */
export interface RawNearest {
  terms: Float32Array
  negative: Uint8Array
  offsets: Int32Array
  excluded: Int32Array
  excludedOffsets: Int32Array
  count: number
  /** 0 = all words */
  restrict: number
  ids: Int32Array
  scores: Float32Array
}

/** native/static/documents.h */
export interface RawDocuments {
  /** Words end with a blank, texts with a line feed. */
  text: Uint8Array
  /** One for each word, or null = 1. */
  weights: Float32Array | null
  otherWeight: number
  unit: boolean
  byCount: boolean
  rows: Float32Array
  known: Int32Array
}

export interface RawStaticVectors {
  readonly info: RawStaticVectorsInfo
  /** Numbers of words; -1 = unknown. */
  find(words: string[]): Int32Array
  words(from: number, to: number): string[]
  counts(from: number, to: number): Float64Array | null
  /** Writes a row for each word; 1 = it has a vector. */
  vectors(words: string[], out: Float32Array): Uint8Array
  nearest(request: RawNearest, done: RawDone): RawTask
  documents(request: RawDocuments, done: RawDone): RawTask
  write(options: { path: string; format: StaticFormat }, done: RawDone): RawTask
  /** Frees the vectors on another thread. Calls under way keep them until they end. */
  dispose(): void
}

export interface RawStatic {
  readVectors(
    options: { path: string; format: StaticFormat | 'auto'; invalidUtf8: InvalidUtf8; limit: number },
    done: (error: Error | null, vectors?: RawStaticVectors) => void,
  ): RawTask
  /** The first right singular vector of rows that are not centred. */
  commonComponent(
    data: Float32Array,
    dimension: number,
    done: (error: Error | null, component?: Float64Array) => void,
  ): RawTask
}
