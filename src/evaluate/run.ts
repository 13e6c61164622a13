/** What every evaluator works with, and what it gives back. */
import { EmbedCoreError } from '../core/errors.js'
import { SIMILARITIES, type SimilarityName } from '../core/names.js'
import { reason, show } from '../core/show.js'
import type { MeasuredItems } from './details.js'
import type { Encoding } from './encoding.js'
import type { Similarities } from './options.js'
import type { Slices } from './slices.js'
import type { Encoder } from './types.js'

export interface Run {
  encoding: Encoding
  slices: Slices
  signal: AbortSignal
  batchSize: number
  /** The measure of evaluators that name none. */
  similarity: SimilarityName
  /** How far the data have been read, for progress. */
  extent: Extent
}

export interface Extent {
  /** Texts of the evaluator; null while it is not known. */
  total: number | null
  /** Share of the data that has been read; null where it is not known. */
  share: () => number | null
}

/** The result of an evaluator; names of metrics without the prefix. */
export interface Measured {
  metrics: Record<string, number>
  primary: string
  rows: number
  documents: number
  /** What the primary metric is made of, unless it is not a statistic of single items. */
  items?: MeasuredItems
}

/** The measures of an evaluator, those of the model included. */
export function namesOf({ names }: Similarities, run: Run): SimilarityName[] {
  return names ?? [run.similarity]
}

/** `info.similarity` of an encoder. */
export function similarityOf(encoder: Encoder): SimilarityName {
  let given: unknown
  try {
    given = encoder.info?.similarity ?? 'cosine'
  } catch (error) {
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `Reading info.similarity failed: ${reason(error)}`, {
      cause: error,
    })
  }
  const known = SIMILARITIES.find((name) => name === given)
  if (known !== undefined) return known
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_OPTION',
    `Expected one of ${SIMILARITIES.join(', ')} for info.similarity of the encoder but received ${show(given)}`,
  )
}

/** Numbers of which one is added at a time. */
export class GrowingList<A extends Float32Array | Float64Array> {
  private data: A
  private count = 0

  constructor(private readonly type: new (length: number) => A) {
    this.data = new type(1024)
  }

  push(value: number): void {
    if (this.count === this.data.length) {
      const larger = new this.type(2 * this.count)
      larger.set(this.data)
      this.data = larger
    }
    this.data[this.count++] = value
  }

  get values(): A {
    return this.data.subarray(0, this.count) as A
  }
}
