/** fitWhitening: a map after which all directions have the same variance. */
import { EmbedCoreError } from '../core/errors.js'
import { checkOptions, integer, invalidOption } from '../core/options.js'
import type { Encoder } from '../evaluate/types.js'
import type { Model } from '../model/model.js'
import { corpusOf, rankOf, spreadOf, type Spread } from './moments.js'
import { checkFit, FIT_RULES, nonNegative } from './options.js'
import { createTransform, type LinearTransform } from './transform.js'
import type { TextSource, VectorSource, WhiteningOptions } from './types.js'
import { centered } from './weight.js'

export const WHITENING_RULES = { ...FIT_RULES, dimensions: integer(1), ridge: nonNegative }

export function fitWhitening(
  model: Model | Encoder,
  texts: TextSource,
  options?: WhiteningOptions,
): Promise<LinearTransform>
export function fitWhitening(vectors: VectorSource, options?: WhiteningOptions): Promise<LinearTransform>
/**
 * BERT-whitening (Su, Cao, Liu and Ou 2021, arXiv 2103.15316; Huang et al. 2021, arXiv 2104.01767): vectors without
 * training whose cosines say more, because no direction outweighs the others.
 *
 *     mean = sum_i x_i / n,   C = sum_i (x_i - mean)(x_i - mean)^T / (n - 1) = U diag(s) U^T
 *     y = (x - mean) W,       W = U_k diag(s_k + ridge * mean(s))^(-1/2)
 *
 * with the `dimensions` directions U_k of greatest variance; y then gets length 1 unless `normalize` is false. The
 * component of largest magnitude of each direction is positive. Without `dimensions` and `ridge`, directions without
 * variance are left out: vectors that come from a LayerNorm have one. It helps vectors that were never tuned for
 * similarity (a middle layer, the mean of a language model) and harms those that were (docs/whitening.md has both,
 * measured).
 *
 * The texts pass as a stream. Sums, the covariance and its eigenvectors are computed in float64, off the event loop;
 * memory holds some batches and three matrices [dimensions, dimensions]. The result depends neither on `batchSize` nor
 * on the number of threads.
 *
 * `model` is a model or any object with `encode`; `texts` is a list, an iterable or the path of a file. In place of
 * both, `vectors` are rows or batches of rows.
 * @throws ERR_EMBEDCORE_INVALID_DATA when the covariance has a lower rank than `dimensions`, or there are no more
 *   vectors than dimensions, and there is no ridge; when all vectors are the same, or a file cannot be read;
 *   _INVALID_TEXT; _SHAPE_MISMATCH for vectors of several lengths, or longer than 4096; _NON_FINITE; _INVALID_OPTION,
 *   _UNKNOWN_OPTION; _ABORTED; _OUT_OF_MEMORY; what encode throws.
 * @example
 * const encode = { layers: 1, pooling: 'mean' }
 * const whitening = await fitWhitening(model, 'corpus.txt', { dimensions: 256, encode })
 * await whitening.saveModel(model, 'whitened')
 * const whitened = await load('whitened')
 */
export async function fitWhitening(
  first: Model | Encoder | VectorSource,
  second?: TextSource | WhiteningOptions,
  third?: WhiteningOptions,
): Promise<LinearTransform> {
  const { corpus, options } = corpusOf(first, second, third)
  const { dimensions, ridge = 0, ...given } = checkOptions(options, WHITENING_RULES)
  const fit = checkFit(given)
  const spread = await spreadOf(corpus, fit)
  const { width, variances } = spread
  const kept = ridge > 0 ? checkDimensions(dimensions, spread) : determined(dimensions, spread)
  const added = (ridge * variances.reduce((sum, variance) => sum + Math.max(0, variance), 0)) / width
  const map = await centered(spread, kept, (k) => 1 / Math.sqrt(Math.max(0, variances[k]!) + added), fit.signal)
  return createTransform({ kind: 'whitening', ...map, fit, corpus, spread })
}

/** The dimensions that are kept without a ridge: those asked for, or all that vary. */
function determined(given: number | undefined, spread: Spread): number {
  const kept = checkDimensions(given, spread)
  const { count, width } = spread
  const rank = rankOf(spread)
  const advice = `give dimensions: ${rank} or fewer, more texts, or a ridge`
  if (given === undefined && count <= width)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_DATA',
      `Expected more than ${width} vectors for whitening in all of their ${width} dimensions but found ${count}, ` +
        `whose covariance has the rank ${rank}; ${advice}`,
    )
  if (given !== undefined && rank < kept)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_DATA',
      `Expected vectors whose covariance has the rank ${kept} or more but found the rank ${rank} ` +
        `(${count} vectors of ${width} numbers); ${advice}`,
    )
  return Math.min(kept, rank)
}

/** The dimensions that are kept. @throws ERR_EMBEDCORE_INVALID_OPTION */
export function checkDimensions(given: number | undefined, { width }: Spread): number {
  if (given !== undefined && given > width)
    throw invalidOption('dimensions', `an integer from 1 to ${width} (the vectors have so many numbers)`, given)
  return given ?? width
}
