/** fitPca: the directions of greatest variance. */
import { checkOptions, integer } from '../core/options.js'
import type { Encoder } from '../evaluate/types.js'
import type { Model } from '../model/model.js'
import { corpusOf, spreadOf } from './moments.js'
import { checkFit, FIT_RULES } from './options.js'
import { createTransform, type LinearTransform } from './transform.js'
import type { PcaOptions, TextSource, VectorSource } from './types.js'
import { centered } from './weight.js'
import { checkDimensions } from './whitening.js'

export const PCA_RULES = { ...FIT_RULES, dimensions: integer(1) }

export function fitPca(model: Model | Encoder, texts: TextSource, options?: PcaOptions): Promise<LinearTransform>
export function fitPca(vectors: VectorSource, options?: PcaOptions): Promise<LinearTransform>
/**
 * Principal component analysis (Pearson 1901; Hotelling 1933): y = (x - mean) U_k, with the `dimensions` directions of
 * greatest variance as in `fitWhitening`, but with their own lengths. Values and signs are those of PCA in scikit-learn
 * (1.5 and later). y gets length 1 unless `normalize` is false.
 *
 * `eigenvalues` of the result are the variances of all directions; their sum is the whole variance.
 * @throws As `fitWhitening`. A covariance of lower rank is not an error: further dimensions are 0.
 * @example
 * const pca = await fitPca(model, texts, { dimensions: 128 })
 * const { data } = await pca.apply(await model.encode('a text', { normalize: false }))
 */
export async function fitPca(
  first: Model | Encoder | VectorSource,
  second?: TextSource | PcaOptions,
  third?: PcaOptions,
): Promise<LinearTransform> {
  const { corpus, options } = corpusOf(first, second, third)
  const { dimensions, ...given } = checkOptions(options, PCA_RULES)
  const fit = checkFit(given)
  const spread = await spreadOf(corpus, fit)
  const map = await centered(spread, checkDimensions(dimensions, spread), () => 1, fit.signal)
  return createTransform({ kind: 'pca', ...map, fit, corpus, spread })
}
