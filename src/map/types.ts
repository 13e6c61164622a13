/** The options and results of mapTexts. */
import type { MapMethod } from '../core/names.js'
import type { EncoderOptions } from '../evaluate/types.js'

/** A text of a map, perhaps with a label that gives its colour. */
export type MapText = string | { readonly text: string; readonly label?: string }

/** Texts in memory or as they come; a string is the path of a file. */
export type MapSource = string | Iterable<MapText> | AsyncIterable<MapText>

/** Options of mapTexts. */
export interface MapOptions {
  /**
   * `'pca'`: the two directions of greatest variance, in which distances are as in the space. `'umap'`: neighbours of
   * the space are neighbours on the map, and distances between groups say little. Default `'pca'`.
   */
  method?: MapMethod
  /** UMAP: neighbours of each text that count, 2 or more. Default 15. */
  neighbors?: number
  /** UMAP: how near points may come, 0 to 1. Default 0.1. */
  minDist?: number
  /** UMAP: rounds of its optimisation. Default: 500, and fewer for more than 2500 texts. */
  epochs?: number
  /** Of the sample of texts, and of UMAP. Default 1. */
  seed?: number
  /** Points at most; of more texts a random sample. Default 5000. */
  maxPoints?: number
  /** Options of encode for the texts. */
  encode?: Omit<EncoderOptions, 'signal' | 'onProgress'>
  /** Column of a .csv, .tsv, .jsonl or .parquet file with the texts, by name or by number from 1. Default `text`. */
  column?: string | number
  /** Column with the labels. Default: none. */
  labelColumn?: string | number
  /** Texts encoded together, 1 to 65,536. Default 256. */
  batchSize?: number
  /** Stops the call, which then rejects with ERR_EMBEDCORE_ABORTED. */
  signal?: AbortSignal
  /** What it throws ends the call with ERR_EMBEDCORE_INVALID_OPTION. */
  onProgress?: (progress: MapProgress) => void
}

export interface MapProgress {
  /** `'encode'`: texts of all; `'umap'`: rounds of all. */
  readonly phase: 'encode' | 'umap'
  readonly done: number
  readonly total: number
}

/** A point of a map. */
export interface MapPoint {
  /** Number of the text in the source, from 0. */
  readonly index: number
  readonly text: string
  readonly label: string | null
  readonly x: number
  readonly y: number
}

/** The result of mapTexts. */
export interface TextMap {
  readonly method: MapMethod
  /** Name of the model; empty where it has none. */
  readonly model: string
  /** In the order of the source. */
  readonly points: readonly MapPoint[]
  /** Texts of the source, of which the points may be a sample. */
  readonly total: number
  /** Share of the variance that the two axes have; null for UMAP. */
  readonly explainedVariance: readonly [number, number] | null
}

/** Options of mapReport. */
export interface MapReportOptions {
  /** Default: the method and the model. */
  title?: string
}
