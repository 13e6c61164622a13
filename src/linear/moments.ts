/** Mean and covariance of a corpus, and the directions of its variance. The arithmetic is native, in float64. */
import { stoppable } from '../core/abort.js'
import { EmbedCoreError, toEmbedCoreError } from '../core/errors.js'
import type { RawMoments } from '../core/linalg-binding.js'
import { allocate } from '../core/memory.js'
import { native } from '../core/native.js'
import { reason } from '../core/show.js'
import { checkEncoder } from '../evaluate/model-encoder.js'
import { Slices } from '../evaluate/slices.js'
import { nativeCall } from '../static/native-call.js'
import type { CheckedFit } from './options.js'
import { encodedRows, givenRows, type Rows } from './vector-source.js'

/** The corpus of a fit as its first arguments name it: a model and texts, or vectors. */
export interface Corpus {
  /** null = `source` has vectors. */
  model: unknown
  source: unknown
}

/** How a corpus spreads around its mean: C = sum_k variances_k v_k v_k^T. */
export interface Spread {
  count: number
  width: number
  /** [width] */
  mean: Float64Array
  /** [width], the greatest first. */
  variances: Float64Array
  /** [width, width]: row k is v_k, of length 1, its component of largest magnitude positive. */
  directions: Float64Array
}

/** The arguments `(model, texts, options)` or `(vectors, options)`. */
export function corpusOf(first: unknown, second: unknown, third: unknown): { corpus: Corpus; options: unknown } {
  const isModel = typeof (first as { encode?: unknown } | null | undefined)?.encode === 'function'
  return isModel
    ? { corpus: { model: first, source: second }, options: third }
    : { corpus: { model: null, source: first }, options: second }
}

export const threadsOfCpu = (): number => native().cpu().cores

/**
 * @throws ERR_EMBEDCORE_INVALID_DATA for fewer than two vectors, or vectors that are all the same; _SHAPE_MISMATCH,
 *   _NON_FINITE; what reading and encoding throw; _ABORTED
 */
export async function spreadOf(corpus: Corpus, fit: CheckedFit): Promise<Spread> {
  const work = async (stop: AbortController): Promise<Spread> =>
    directionsOf(await momentsOf(corpus, fit, stop), stop.signal)
  return stoppable(fit.signal, work, toEmbedCoreError)
}

type Covariance = Omit<Spread, 'variances' | 'directions'> & { covariance: Float64Array }

async function momentsOf({ model, source }: Corpus, fit: CheckedFit, stop: AbortController): Promise<Covariance> {
  const slices = new Slices(stop.signal)
  const rows = model === null ? givenRows(source, slices) : encodedRows(checkEncoder(model), source, fit, stop, slices)
  let raw: RawMoments | null = null
  let [count, width] = [0, 0]
  for await (const batch of rows) {
    raw ??= begin(batch)
    width ||= batch.width
    if (batch.width !== width)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_SHAPE_MISMATCH',
        `Expected vectors of ${width} numbers but received vectors of ${batch.width}`,
      )
    const added = batch.data.length / width
    const moments = raw
    await nativeCall((done) => moments.add(batch.data, null, added, done), stop.signal)
    count += added
    tell(fit, count)
  }
  if (raw === null || count < 2)
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_DATA', `Expected 2 vectors or more but found ${count}`)
  const mean = allocate(width, Float64Array)
  const covariance = allocate(width * width, Float64Array)
  const moments = raw
  await nativeCall((done) => moments.finish(mean, new Float64Array(0), covariance, done), stop.signal)
  return { count, width, mean, covariance }
}

/** The longest vectors: their covariance takes 128 MiB. */
const MOST_DIMENSIONS = 4096

function begin({ width }: Rows): RawMoments {
  if (width <= MOST_DIMENSIONS) return native().moments(width, 0, threadsOfCpu())
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_SHAPE_MISMATCH',
    `Expected vectors of at most ${MOST_DIMENSIONS} numbers but received vectors of ${width}`,
  )
}

function tell({ onProgress }: CheckedFit, done: number): void {
  try {
    onProgress?.({ done })
  } catch (error) {
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `The call's onProgress threw: ${reason(error)}`, {
      cause: error,
    })
  }
}

async function directionsOf({ covariance, ...known }: Covariance, signal: AbortSignal): Promise<Spread> {
  const variances = allocate(known.width, Float64Array)
  await nativeCall((done) => native().symmetricEigen(covariance, variances, threadsOfCpu(), done), signal)
  if (!(variances[0]! > 0))
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_DATA',
      `Expected vectors that differ but found ${known.count} that are all the same`,
    )
  return { ...known, variances, directions: covariance }
}

/** 2 ** -46: the square of the rounding of float32. */
const ROUNDING = 2 ** -46

/** How many of the variances are more than the rounding of float32 vectors leaves. */
export function rankOf({ variances, width }: Spread): number {
  const least = width * ROUNDING * variances[0]!
  return variances.filter((variance) => variance > least).length
}
