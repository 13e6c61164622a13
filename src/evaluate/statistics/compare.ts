/** compareEvaluations: whether one model is better than another on the same items, or only luckier. */
import { withOwnStack } from '../../core/errors.js'
import { abortSignal, checkOptions, invalidOption } from '../../core/options.js'
import { show } from '../../core/show.js'
import { invalidData } from '../../data/data-file.js'
import { Slices } from '../slices.js'
import { bootstrap, intervalOf, RESAMPLING_RULES, type Resampling, signTest, withDefaults } from './resampling.js'
import { once, Statistic } from './statistic.js'
import type { Comparison, ItemScores, ResamplingOptions } from './types.js'

/** What is compared: results of `evaluate` or `evaluateRun` with the option `items`. */
export interface Compared {
  readonly items?: ItemScores
}

/** Options of compareEvaluations. */
export interface CompareOptions extends ResamplingOptions {
  signal?: AbortSignal
}

/**
 * Compares two models by the scores of the same items: the difference, its interval by the paired bootstrap, and the
 * probability of a difference as large by chance. Both are results with `items`.
 * @throws ERR_EMBEDCORE_INVALID_OPTION for results without items; _INVALID_DATA where the items differ; _ABORTED.
 * @example
 * const [before, after] = [await evaluate(a, task, { items: true }), await evaluate(b, task, { items: true })]
 * const { difference, p } = await compareEvaluations(before, after)
 */
export async function compareEvaluations(
  baseline: Compared,
  other: Compared,
  options?: CompareOptions,
): Promise<Comparison> {
  const { signal, ...given } = checkOptions(options, { ...RESAMPLING_RULES, signal: abortSignal })
  const slices = new Slices(signal ?? new AbortController().signal)
  try {
    return await compareItems(
      itemsOf(baseline, 'the baseline'),
      itemsOf(other, 'the other result'),
      withDefaults(given),
      slices,
    )
  } catch (error) {
    throw withOwnStack(error)
  }
}

function itemsOf(result: Compared, what: string): ItemScores {
  const items = result?.items
  if (typeof items !== 'object' || items === null || !Array.isArray(items.values) || !Array.isArray(items.ids))
    throw invalidOption(what, 'a result with items (option items: true)', items ?? result)
  return items
}

export async function compareItems(
  a: ItemScores,
  b: ItemScores,
  resampling: Resampling,
  slices: Slices,
): Promise<Comparison> {
  const matched = inOrderOf(a, b)
  const [first, second] = [await Statistic.of(a, slices), await Statistic.of(matched, slices)]
  const count = a.values.length
  const all = once(count)
  const [baseline, score] = [await first.value(all), await second.value(all)]
  const resampled = await bootstrap(
    count,
    async (counts) => (await second.value(counts)) - (await first.value(counts)),
    resampling,
    slices,
  )
  const interval = intervalOf(resampled, resampling)
  if (interval === null) throw invalidData(`Expected items with a score but found none among ${count}`)
  const method = a.statistic === 'mean' ? 'permutation' : 'bootstrap'
  const differences = (): Float64Array => Float64Array.from(a.values, (value, i) => matched.values[i]! - value)
  return {
    metric: b.metric,
    items: count,
    baseline,
    score,
    difference: score - baseline,
    interval,
    p: method === 'permutation' ? await signTest(differences(), resampling, slices) : twoSided(resampled),
    method,
  }
}

/** Twice the smaller share on a side of 0; the observed sample counts as one more, so that it is never 0. */
function twoSided(differences: Float64Array): number {
  const total = differences.length + 1
  const share = (side: (difference: number) => boolean): number => (differences.filter(side).length + 1) / total
  return Math.min(
    1,
    2 *
      Math.min(
        share((d) => d <= 0),
        share((d) => d >= 0),
      ),
  )
}

/** Models are compared each by its own measure of similarity. */
const withoutMeasure = (metric: string): string => metric.replace(/(^|_)(cosine|dot|euclidean|manhattan)(?=_|$)/, '')

/** The items of b in the order of a. */
function inOrderOf(a: ItemScores, b: ItemScores): ItemScores {
  if (a.statistic !== b.statistic || withoutMeasure(a.metric) !== withoutMeasure(b.metric))
    throw invalidData(`Expected items of one metric but found ${a.metric} and ${b.metric}`)
  if (a.ids.length !== b.ids.length)
    throw invalidData(`Expected the same items on both sides but found ${a.ids.length} and ${b.ids.length}`)
  if (a.digest !== b.digest)
    throw invalidData('Expected the same texts and labels on both sides but found other ones: the digests differ')
  const places = new Map(b.ids.map((id, i) => [id, i]))
  const order = a.ids.map((id) => {
    const place = places.get(id)
    if (place === undefined) throw invalidData(`Expected the same items on both sides but ${show(id)} is only on one`)
    return place
  })
  return {
    ...b,
    ids: a.ids,
    values: order.map((place) => b.values[place]!),
    ...(b.labels === undefined ? {} : { labels: order.map((place) => b.labels![place]!) }),
  }
}
