/** What is done with finished vectors: compared, and quantised. The arithmetic is native, off the event loop. */
import { EmbedCoreError, toEmbedCoreError } from './errors.js'
import { native } from './native.js'
import { checkOptions, integer, invalidOption, oneOf } from './options.js'
import { allocate } from './results.js'
import { show } from './show.js'
import { type Precision, SIMILARITIES, type SimilarityName } from './names.js'
import type { SentenceEmbeddings, VectorData } from './types.js'

/** Rows of float32 vectors: what encode returned, or the numbers themselves. */
export type Vectors = SentenceEmbeddings | Float32Array

export interface SimilarityOptions {
  /** Default: the model's own, else `'cosine'`. Distances are negated, so that greater is nearer. */
  metric?: SimilarityName
  /** Numbers a vector, needed where only bare Float32Arrays are given. */
  dimension?: number
}

/** Similarities of the rows of a with the rows of b. */
export interface Similarities {
  readonly data: Float32Array
  /** [rows of a, rows of b] */
  readonly shape: readonly [number, number]
  /** The similarities of row i of a, a view. */
  row(i: number): Float32Array
}

/**
 * [rows of a, rows of b] similarities, as `similarity` of sentence-transformers.
 * @throws ERR_EMBEDCORE_SHAPE_MISMATCH when the vectors have different lengths; ERR_EMBEDCORE_INVALID_OPTION when they
 *   are no float32 vectors.
 */
export async function similarity(
  a: Vectors,
  b: Vectors,
  options?: SimilarityOptions,
  defaults: { metric: SimilarityName; dimension?: number } = { metric: 'cosine' },
): Promise<Similarities> {
  const given = checkOptions(options, { metric: oneOf(...SIMILARITIES), dimension: integer(1) })
  const known = given.dimension ?? widthOf(a) ?? widthOf(b) ?? defaults.dimension
  if (known === undefined)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      'Expected a dimension beside bare Float32Arrays, which do not say how long a vector is',
    )
  const left = rowsOf(a, known, 'a')
  const right = rowsOf(b, known, 'b')
  const [rowsA, rowsB] = [left.length / known, right.length / known]
  const data = allocate(rowsA * rowsB)
  if (data.length > 0)
    await settled((done) => native().similarity(left, right, known, given.metric ?? defaults.metric, data, done))
  return {
    data,
    shape: [rowsA, rowsB],
    row(i: number) {
      if (!Number.isInteger(i) || i < 0 || i >= rowsA) throw new RangeError(`row ${i} is outside 0 to ${rowsA - 1}`)
      return data.subarray(i * rowsB, (i + 1) * rowsB)
    },
  }
}

/**
 * The smallest and the largest value of every dimension, [2, dimensions]: the `ranges` for precision `'int8'` and
 * `'uint8'`.
 * Take them from some thousands of texts like those to come.
 */
export async function quantizationRanges(vectors: Vectors, options?: { dimension?: number }): Promise<Float32Array> {
  const given = checkOptions(options, { dimension: integer(1) })
  const dimension = given.dimension ?? widthOf(vectors)
  if (dimension === undefined)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      'Expected a dimension beside a bare Float32Array, which does not say how long a vector is',
    )
  const data = rowsOf(vectors, dimension, 'vectors')
  const ranges = new Float32Array(2 * dimension)
  await settled((done) => native().ranges(data, dimension, ranges, done))
  return ranges
}

/** Fewer rows than this give ranges that later vectors leave often; sentence-transformers warns at the same number. */
const FEW_ROWS = 100

/** Rows of `dimension` float32 numbers in the precision asked for, with the ranges that were used. */
export async function quantize(
  rows: Float32Array,
  dimension: number,
  precision: Exclude<Precision, 'float32'>,
  ranges: Float32Array | null,
): Promise<{ data: VectorData; columns: number; ranges?: Float32Array }> {
  const count = rows.length / dimension
  if (precision === 'binary' || precision === 'ubinary') {
    const columns = Math.ceil(dimension / 8)
    const data = precision === 'binary' ? new Int8Array(count * columns) : new Uint8Array(count * columns)
    if (count > 0) await settled((done) => native().quantize(rows, dimension, precision, null, data, done))
    return { data, columns }
  }
  if (ranges !== null && ranges.length !== 2 * dimension)
    throw invalidOption('ranges', `2 x ${dimension} numbers (the vectors have ${dimension} dimensions)`, ranges)
  const used = ranges ?? (await ownRanges(rows, dimension, count, precision))
  const data = precision === 'int8' ? new Int8Array(rows.length) : new Uint8Array(rows.length)
  if (count > 0) await settled((done) => native().quantize(rows, dimension, precision, used, data, done))
  return { data, columns: dimension, ranges: used }
}

async function ownRanges(
  rows: Float32Array,
  dimension: number,
  count: number,
  precision: string,
): Promise<Float32Array> {
  if (count === 0) return new Float32Array(2 * dimension)
  if (count === 1) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_NO_RANGES',
      `Expected ranges beside precision '${precision}' for a single text: one vector has no range of its own. Take them from many texts with embedCore.quantizationRanges()`,
    )
  }
  if (count < FEW_ROWS) {
    process.emitWarning(
      `precision '${precision}' takes its ranges from ${count} vectors; with fewer than ${FEW_ROWS} they fit later vectors badly. Give ranges from embedCore.quantizationRanges().`,
      { code: 'EMBEDCORE_FEW_ROWS' },
    )
  }
  return quantizationRanges(rows, { dimension })
}

function widthOf(vectors: Vectors): number | undefined {
  return vectors instanceof Float32Array ? undefined : vectors?.shape?.[1]
}

function rowsOf(vectors: Vectors, dimension: number, name: string): Float32Array {
  const data = vectors instanceof Float32Array ? vectors : vectors?.data
  if (!(data instanceof Float32Array)) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected float32 vectors (what encode returns, or a Float32Array) for ${name} but received ${data === undefined ? show(vectors) : `${(vectors as SentenceEmbeddings).precision} ones`}`,
    )
  }
  const width = widthOf(vectors) ?? dimension
  if (width !== dimension || data.length % dimension !== 0) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_SHAPE_MISMATCH',
      `Expected vectors of ${dimension} numbers for ${name} but received ${width === dimension ? `${data.length} numbers` : `vectors of ${width}`}`,
    )
  }
  return data
}

/** Awaits a native call. The error is made anew behind the await, so that its stack is the caller's. */
async function settled(start: (done: (error: Error | null) => void) => void): Promise<void> {
  const failure = await new Promise<Error | null>((resolve) => start(resolve))
  if (failure) throw toEmbedCoreError(failure)
}
