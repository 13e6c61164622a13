/** The public types of static vectors. */
import type { InvalidUtf8, StaticFormat } from '../core/names.js'

export type { InvalidUtf8, StaticFormat } from '../core/names.js'

/** Options of `loadStatic`. */
export interface LoadStaticOptions {
  /** Default `'auto'`: found out from the first bytes. */
  format?: StaticFormat | 'auto'
  /**
   * What becomes of words that are not UTF-8, as the original word2vec leaves them where it cuts long words. Default
   * `'error'`. `'replace'` puts U+FFFD for each wrong byte, `'skip'` leaves the word out; `info` counts both.
   */
  invalidUtf8?: InvalidUtf8
  /** Reads the first words alone. */
  limit?: number
  signal?: AbortSignal
}

/** What `StaticVectors.info` says. */
export interface StaticVectorsInfo {
  format: StaticFormat
  /** Words, and numbers of a vector. */
  words: number
  dimension: number
  /** Words of the corpus that the vectors come from; null = not known. */
  tokens: number | null
  /** n-grams of unknown words; null = unknown words have no vector. */
  subwords: { minN: number; maxN: number; bucket: number } | null
  /** Entries of the file that came again; the first one counts. */
  duplicates: number
  /** Words with bytes that were replaced, and words left out, for not being UTF-8. */
  repaired: number
  skipped: number
  /** Whether vectors are read from the mapped file and not held in memory. */
  mapped: boolean
  memoryBytes: number
}

/** A word and its score, the nearest first. */
export interface NearWord {
  word: string
  index: number
  score: number
}

export interface NearestOptions {
  /** Words that are given back. Default 10. */
  count?: number
  /** Looks among the first (most frequent) words alone. Default: all. */
  restrictVocab?: number
  /** Words that are not given back, besides those of the query. */
  exclude?: readonly string[]
  signal?: AbortSignal
}

/** `a` is to `b` as `c` is to what is looked for: positive [b, c], negative [a]. */
export interface AnalogyOptions extends NearestOptions {
  positive: readonly (string | Float32Array)[]
  negative?: readonly (string | Float32Array)[]
  /**
   * - `'3CosAdd'` (default): the cosine with the sum of the unit vectors, gensim's `most_similar`.
   * - `'3CosMul'`: products of shifted cosines (Levy and Goldberg 2014), gensim's `most_similar_cosmul`.
   */
  method?: '3CosAdd' | '3CosMul'
}

/** Analogy questions by section, as in questions-words.txt: `[a, b, c, d]` with a : b = c : d. */
export interface AnalogySection {
  section: string
  questions: readonly (readonly [string, string, string, string])[]
}

export interface AnalogyEvaluationOptions {
  /** Answers come from the first words alone. Default 300,000, as in gensim; the C tool takes 30,000. */
  restrictVocab?: number
  /** Compares words without regard to case; of words that differ in case alone the first counts. Default true. */
  caseInsensitive?: boolean
  /** Counts questions with unknown words as wrong. Default false: they are left out. */
  dummy4unknown?: boolean
  method?: '3CosAdd' | '3CosMul'
  signal?: AbortSignal
}

export interface AnalogyScore {
  section: string
  correct: number
  /** Questions that were judged, and those with unknown words. */
  judged: number
  unknown: number
  /** correct / judged; NaN where no question was judged. */
  accuracy: number
}

export interface AnalogyEvaluation extends AnalogyScore {
  section: 'total'
  sections: AnalogyScore[]
}

export interface WordPairsOptions {
  caseInsensitive?: boolean
  /** Gives pairs with unknown words the similarity 0. Default false: they are left out. */
  dummy4unknown?: boolean
  signal?: AbortSignal
}

export interface WordPairsEvaluation {
  spearman: number
  pearson: number
  /** Pairs that were judged, and those with unknown words. */
  judged: number
  unknown: number
}

/** Cuts a text into words. */
export type WordTokenizer = (text: string) => readonly string[]

export interface DocumentOptions {
  /** Of texts that are strings. Default: at white space. */
  tokenizer?: WordTokenizer | TokenizerName
  /**
   * - `'mean'` (default): the mean of the vectors of the words.
   * - `'unit-mean'`: the mean of their unit vectors, as fastText makes vectors of sentences.
   * - `'sif'`: the mean with weights a / (a + p(word)), less the share of the common component (Arora et al. 2017).
   */
  pooling?: 'mean' | 'unit-mean' | 'sif'
  /** A weight for each word, such as an inverse document frequency; not with `'sif'`. */
  weights?: (word: string, index: number) => number
  /** `'sif'`: default 1e-3. */
  a?: number
  /** `'sif'`: p(word), for vectors without counts. */
  probability?: (word: string, index: number) => number
  /**
   * `'sif'`: the component that is removed, as another call returned it; `false` = none. Default: that of these texts.
   */
  commonComponent?: Float64Array | false
  signal?: AbortSignal
}

export interface DocumentVectors {
  /** Row by row; 0 for a text without a word that has a vector. */
  data: Float32Array
  shape: readonly [number, number]
  /** Words of each text that have a vector. */
  knownWords: Int32Array
  /** `'sif'`: the component that was removed; give it to later calls, so that their vectors are comparable. */
  commonComponent: Float64Array | null
}

export type TokenizerName = 'whitespace' | 'words' | 'characters'
