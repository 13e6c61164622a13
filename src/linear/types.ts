/** The options and results of fitWhitening, fitPca, fitAllButTheTop and fitProcrustes. */
import type { EncoderOptions } from '../evaluate/types.js'

/** Vectors in rows: what encode returns, or anything that has its `data` and `shape`. */
export interface VectorRows {
  readonly data: Float32Array
  /** [vectors, numbers per vector] */
  readonly shape: readonly [number, number]
}

/** Vectors, all at once or in batches. */
export type VectorSource = VectorRows | Iterable<VectorRows> | AsyncIterable<VectorRows>

/** Texts in memory or as they come; a string is the path of a file. */
export type TextSource = string | Iterable<string> | AsyncIterable<string>

/** What a linear map was fitted as. */
export type LinearTransformKind = 'whitening' | 'pca' | 'all-but-the-top' | 'procrustes'

export interface FitProgress {
  /** Vectors that have been added. */
  readonly done: number
}

/** Options of all fits that read a corpus. */
export interface FitOptions {
  /** Whether mapped vectors get length 1. Default true. */
  normalize?: boolean
  /**
   * Options of encode for the texts. Default `{ normalize: false }`: the map is fitted to the vectors before their
   * normalisation, and comes before it in a saved model.
   */
  encode?: Omit<EncoderOptions, 'signal' | 'onProgress'>
  /**
   * Columns of a .csv, .tsv, .jsonl or .parquet file that hold texts, by name, or of csv and tsv files without a header
   * by number from 1. Default `text`. Other files have a text a line.
   */
  columns?: string | number | readonly (string | number)[]
  /** Quote of csv and tsv; `'none'`: quotes are ordinary characters. Default `'"'`. */
  quote?: string
  /** Texts encoded together, 1 to 65,536. Default 256. The result does not depend on it. */
  batchSize?: number
  /** Stops the fit, which then rejects with ERR_EMBEDCORE_ABORTED. */
  signal?: AbortSignal
  /** Called after each batch. What it throws ends the fit with ERR_EMBEDCORE_INVALID_OPTION. */
  onProgress?: (progress: FitProgress) => void
}

/** Options of fitWhitening. */
export interface WhiteningOptions extends FitOptions {
  /**
   * Dimensions of the mapped vectors: the directions of greatest variance. Default: all that have one; then there must
   * be more vectors than dimensions.
   */
  dimensions?: number
  /**
   * Part of the mean variance that is added to the variance of each direction, so that directions with little of it are
   * not blown up. Default 0. With a ridge a covariance may be rank-deficient.
   */
  ridge?: number
}

/** Options of fitPca. */
export interface PcaOptions extends FitOptions {
  /** Dimensions of the mapped vectors: the directions of greatest variance. Default: all. */
  dimensions?: number
}

/** Options of fitAllButTheTop. */
export interface AllButTheTopOptions extends FitOptions {
  /** Directions of greatest variance that are removed. Default: a hundredth of the dimensions, 1 at least. */
  components?: number
}

/** Options of fitProcrustes. */
export interface ProcrustesOptions {
  /** Whether both means are taken out before, and the target's put in after. Default true. */
  center?: boolean
  /** Whether the map may also multiply by a number, the same for all directions. Default false. */
  scale?: boolean
  /** Share of the pairs that the loss is measured on and that the map is not fitted to, 0 to 0.9. Default 0.1. */
  heldOut?: number
  /** Of the draw of these pairs. Default 1. */
  seed?: number
  /** Whether mapped vectors get length 1. Default true. */
  normalize?: boolean
  /** Stops the fit, which then rejects with ERR_EMBEDCORE_ABORTED. */
  signal?: AbortSignal
}

/** How well a map sends vectors to their partners, measured on pairs that it was not fitted to. */
export interface MapLoss {
  /** Pairs that were held out. */
  readonly pairs: number
  /** Mean cosine of the mapped vectors to their partners. */
  readonly meanCosine: number
  /**
   * Sum of squared distances to the partners, before any normalisation, over that of the mean of the targets: 0 is
   * exact, 1 is no better than the mean.
   */
  readonly relativeError: number
  /** Share of the mapped vectors that are nearer (cosine) to their partner than to all other held-out partners. */
  readonly accuracy: number
}

/** Options of `transform.apply`. */
export interface ApplyOptions {
  /** Stops the call, which then rejects with ERR_EMBEDCORE_ABORTED. */
  signal?: AbortSignal
}

/** Options of `transform.saveModel`. */
export interface SaveModelOptions {
  /** How the vectors that the map was fitted to were made. Default: `encode` of the fit. */
  encode?: Omit<EncoderOptions, 'signal' | 'onProgress'>
}
