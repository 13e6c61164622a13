/** What a result says besides its metrics: the interval of the score, the views, the scores of the items. */
import { checkOptions, either, flag, only, type Rule } from '../core/options.js'
import { bootstrap, intervalOf, type Resampling, RESAMPLING_RULES, withDefaults } from './statistics/resampling.js'
import { type Items, Statistic } from './statistics/statistic.js'
import type { Interval, ItemScores, ResamplingOptions, View, ViewGroup } from './statistics/types.js'
import type { Slices } from './slices.js'

/** The items behind the score of an evaluator. */
export interface MeasuredItems extends Items {
  /** The name of the metric without the prefix of the evaluator. */
  metric: string
  /** null = numbers from 0. */
  ids: string[] | null
  groups?: Record<string, string[]> | undefined
  digest: string | null
}

export interface Details {
  interval?: Interval
  views?: View[]
  items?: ItemScores
}

/** What of it is asked for. */
export interface DetailOptions {
  intervals: Resampling | null
  items: boolean
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value)
export const DETAIL_RULES = {
  intervals: either(flag, only<object>('an object of samples, level and seed', isObject)) as Rule<boolean | object>,
  items: flag,
}

export function detailOptions(given: { intervals?: boolean | object; items?: boolean }): DetailOptions {
  const { intervals, items } = given
  const wanted = typeof intervals === 'object' || intervals === true
  const options = typeof intervals === 'object' ? checkOptions(intervals, RESAMPLING_RULES) : {}
  return { intervals: wanted ? withDefaults(options as ResamplingOptions) : null, items: items === true }
}

export async function detailsOf(
  items: MeasuredItems | undefined,
  prefix: string,
  { intervals, items: keep }: DetailOptions,
  slices: Slices,
): Promise<Details> {
  if (items === undefined) return {}
  const { groups } = items
  const details: Details = {}
  const statistic = intervals !== null || groups !== undefined ? await Statistic.of(items, slices) : null
  if (intervals !== null) {
    const interval = await intervalOfItems(statistic!, null, intervals, slices)
    if (interval !== null) details.interval = interval
  }
  if (groups !== undefined) {
    details.views = []
    for (const [view, labels] of Object.entries(groups))
      details.views.push(await viewOf(view, labels, statistic!, intervals, slices))
  }
  if (keep) {
    details.items = {
      metric: prefix + items.metric,
      statistic: items.statistic,
      ids: items.ids ?? Array.from({ length: items.values.length }, (_, i) => String(i)),
      values: Array.from(items.values),
      ...(items.labels === undefined ? {} : { labels: Array.from(items.labels) }),
      ...(groups === undefined ? {} : { groups }),
      digest: items.digest,
    }
  }
  return details
}

/** `places`: the items; null = all. */
async function intervalOfItems(
  statistic: Statistic,
  places: readonly number[] | null,
  resampling: Resampling,
  slices: Slices,
): Promise<Interval | null> {
  if (places === null)
    return intervalOf(
      await bootstrap(statistic.length, (counts) => statistic.value(counts), resampling, slices),
      resampling,
    )
  const all = new Uint32Array(statistic.length)
  const sorted = await bootstrap(
    places.length,
    (counts) => {
      places.forEach((place, i) => (all[place] = counts[i]!))
      return statistic.value(all)
    },
    resampling,
    slices,
  )
  return intervalOf(sorted, resampling)
}

async function viewOf(
  view: string,
  labels: readonly string[],
  statistic: Statistic,
  intervals: Resampling | null,
  slices: Slices,
): Promise<View> {
  const places = new Map<string, number[]>()
  for (const [place, label] of labels.entries()) {
    if (slices.over) await slices.next()
    const known = places.get(label)
    if (known === undefined) places.set(label, [place])
    else known.push(place)
  }
  const groups: ViewGroup[] = []
  for (const [group, members] of places) {
    const counts = new Uint32Array(statistic.length)
    for (const place of members) counts[place] = 1
    const score = await statistic.value(counts)
    const interval = intervals === null ? null : await intervalOfItems(statistic, members, intervals, slices)
    groups.push({ group, items: members.length, score, ...(interval === null ? {} : { interval }) })
  }
  const rank = ({ score }: ViewGroup): number => (Number.isNaN(score) ? Infinity : score)
  const worst = groups.reduce((low, group) => (rank(group) < rank(low) ? group : low))
  return { view, groups, worst: worst.group }
}
