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
  staticTrainer(options: RawStaticTrainerOptions): RawStaticTrainer
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

/** Options of native/static/trainer.h, checked and complete. */
export interface RawStaticTrainerOptions {
  scratch: string
  maxVocabSize: number
  skipInvalid: boolean
  phrasePasses: number
  phraseMinCount: number
  phraseThreshold: number
  phraseNpmi: boolean
  phraseDelimiter: string
  minCount: number
  maxFinalVocab: number
  vectorSize: number
  window: number
  epochs: number
  negative: number
  sg: boolean
  cbowMean: boolean
  exactCbow: boolean
  shrinkWindows: boolean
  alpha: number
  minAlpha: number
  sample: number
  nsExponent: number
  maxSentenceLength: number
  minN: number
  maxN: number
  bucket: number
  seed: number
  threads: number
}

export interface RawStaticSummary {
  corpusTokens: number
  sentences: number
  invalidTokens: number
  forgottenWords: number
  phrases: number
  words: number
  minCount: number
  tokens: number
  blocks: number
  corpusHash: string
}

export interface RawStaticProgress {
  block: number
  blocks: number
  tokens: number
  alpha: number
  loss: number
}

type RawResult<T> = (error: Error | null, result?: T) => void

/** One call at a time. */
export interface RawStaticTrainer {
  /** Text, which may be cut anywhere. Nobody may change it before `done`. */
  add(text: Uint8Array, done: RawResult<{ tokens: number; words: number }>): void
  prepare(done: RawResult<RawStaticSummary>): void
  /** Trains for about this long, or until abort(). */
  train(seconds: number, done: RawResult<RawStaticProgress>): void
  writeState(path: string, metadata: Record<string, string>, done: RawDone): void
  readState(path: string, block: number, done: RawResult<RawStaticProgress>): void
  /** The vectors, in the trainer's memory. */
  vectors(): RawStaticVectors
  /** Ends the call under way, and every later one. Files are still written and read. */
  abort(): void
  dispose(): void
}
