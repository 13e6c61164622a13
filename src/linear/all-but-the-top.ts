/** fitAllButTheTop: removes the mean and the directions that all vectors share. */
import { checkOptions, integer, invalidOption } from '../core/options.js'
import type { Encoder } from '../evaluate/types.js'
import type { Model } from '../model/model.js'
import { corpusOf, spreadOf } from './moments.js'
import { checkFit, FIT_RULES } from './options.js'
import { createTransform, type LinearTransform } from './transform.js'
import type { AllButTheTopOptions, TextSource, VectorSource } from './types.js'
import { without } from './weight.js'

export const ALL_BUT_THE_TOP_RULES = { ...FIT_RULES, components: integer(1) }

export function fitAllButTheTop(
  model: Model | Encoder,
  texts: TextSource,
  options?: AllButTheTopOptions,
): Promise<LinearTransform>
export function fitAllButTheTop(vectors: VectorSource, options?: AllButTheTopOptions): Promise<LinearTransform>
/**
 * All-but-the-top (Mu and Viswanath 2018, arXiv 1702.01417): y = z - sum_k (u_k^T z) u_k with z = x - mean, for the
 * `components` directions u_k of greatest variance. The dimensions stay as they are. y gets length 1 unless `normalize`
 * is false.
 *
 * The paper projects x in place of z, which moves all vectors by one and the same vector.
 * @throws As `fitWhitening`; _INVALID_OPTION for as many components as dimensions.
 * @example
 * const removal = await fitAllButTheTop(model, texts, { components: 3 })
 * const { data } = await removal.apply(await model.encode(texts, { normalize: false }))
 */
export async function fitAllButTheTop(
  first: Model | Encoder | VectorSource,
  second?: TextSource | AllButTheTopOptions,
  third?: AllButTheTopOptions,
): Promise<LinearTransform> {
  const { corpus, options } = corpusOf(first, second, third)
  const { components, ...given } = checkOptions(options, ALL_BUT_THE_TOP_RULES)
  const fit = checkFit(given)
  const spread = await spreadOf(corpus, fit)
  const removed = components ?? Math.max(1, Math.round(spread.width / 100))
  if (removed >= spread.width)
    throw invalidOption('components', `an integer below ${spread.width} (the dimensions of the vectors)`, removed)
  const map = await without(spread, removed, fit.signal)
  return createTransform({ kind: 'all-but-the-top', ...map, fit, corpus, spread })
}
