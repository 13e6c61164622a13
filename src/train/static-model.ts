/** Training of static models: what does not apply to a table of embeddings, and the defaults that it needs. */
import { EmbedCoreError } from '../core/errors.js'
import { invalidOption } from '../core/options.js'
import type { OpenSource } from './data/open.js'
import type { CheckedLoss } from './losses.js'
import type { ResolvedTrain } from './options.js'

/**
 * AdamW moves a number by about the rate in each update, and a row only in the updates of its token. At the rate of a
 * transformer a table would stay as it is.
 */
const STATIC_RATE = 1e-2

/**
 * The options of a run that trains a static model.
 * @throws ERR_EMBEDCORE_INVALID_OPTION naming the option that does not apply
 */
export function staticOptions(given: ResolvedTrain): ResolvedTrain {
  const { method, freeze, pooling, own } = given
  if (method.type !== 'full')
    throw invalidOption('method', "'full' for a static model, whose one table is trained whole,", method.type)
  if (given.merge) throw invalidOption('merge', 'nothing for a static model, which has no adapters,', true)
  if (freeze.embeddings || freeze.layers > 0)
    throw invalidOption('freeze', 'at most { head } for a static model, which is one table of embeddings,', freeze)
  if (pooling !== null && pooling.join() !== 'mean')
    throw invalidOption('pooling', "'mean' (a static model has no other)", pooling.join(', '))
  if (given.attention !== null)
    throw invalidOption('attention', 'nothing for a static model, which has no layers,', given.attention)
  if (given.clsToken !== null)
    throw invalidOption('clsToken', 'nothing for a static model, which has no special tokens,', given.clsToken)
  if (given.layout === 'embedcore')
    throw invalidOption('layout', "'sentence-transformers' for a static model", given.layout)
  if (given.recompute) throw invalidOption('recompute', 'nothing for a static model, which has no layers,', true)
  if (own.dropout) throw invalidOption('dropout', 'nothing for a static model, which has no dropout,', given.dropout)
  if (given.dtype !== 'float32')
    throw invalidOption('dtype', "'float32' for a static model, which has no matrix products,", given.dtype)
  return own.learningRate ? given : { ...given, learningRate: STATIC_RATE }
}

/**
 * A text that stands alone is its own positive, and only dropout makes its two vectors differ.
 * @throws ERR_EMBEDCORE_INVALID_OPTION
 */
export function refuseTextsAlone(losses: readonly CheckedLoss[], sources: readonly OpenSource[]): void {
  const loss = losses.find(({ raw }) => raw.parameters.kind === 'MultipleNegativesRankingLoss')
  const source = sources.find(({ format }) => format.kind === 'texts' && format.columns.length === 1)
  if (loss === undefined || source === undefined) return
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_OPTION',
    `Expected pairs or triplets for the loss ${loss.type} of a static model but ${source.name} has single texts: ` +
      'both vectors of a text would be the same, because a static model has no dropout',
  )
}
