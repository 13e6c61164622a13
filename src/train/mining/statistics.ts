/** What sentence-transformers prints after mining, as numbers and as its text. */
import { Column } from '../data/places.js'
import type { ResolvedMining } from './options.js'
import type { Filter } from './select.js'

/** As torch: the median is the lower of the middle two; quantiles are interpolated; `std` divides by n - 1. */
export interface ScoreSummary {
  readonly count: number
  readonly mean: number
  readonly median: number
  readonly std: number
  readonly min: number
  readonly q25: number
  readonly q50: number
  readonly q75: number
  readonly max: number
}

export interface MiningStatistics {
  /** Similarities of queries to their positives, each pair once. */
  readonly positive: ScoreSummary
  /** Similarities to negatives, once per positive of the query. */
  readonly negative: ScoreSummary
  /** Positive minus negative. */
  readonly difference: ScoreSummary
  /** Candidates that a filter dropped, and their share of those that it saw. */
  readonly skipped: Readonly<Partial<Record<Filter, { count: number; ratio: number }>>>
  /** Rows that are missing because a query had too few candidates, and their share. */
  readonly missing: { readonly count: number; readonly ratio: number }
  readonly queries: number
  readonly corpus: number
  readonly rangeMax: number
}

export class Summary {
  private readonly scores = new Column(new Float64Array(0))

  get count(): number {
    return this.scores.length
  }

  add(score: number): void {
    this.scores.push(score)
  }

  finish(): ScoreSummary {
    const sorted = this.scores.taken().slice().sort()
    const { length: count } = sorted
    const mean = sorted.reduce((sum, score) => sum + score, 0) / count
    const squares = sorted.reduce((sum, score) => sum + (score - mean) ** 2, 0)
    const quantile = (q: number): number => {
      const place = q * (count - 1)
      const low = Math.floor(place)
      return count === 0 ? NaN : sorted[low]! + (place - low) * (sorted[Math.ceil(place)]! - sorted[low]!)
    }
    return {
      count,
      mean,
      median: count === 0 ? NaN : sorted[Math.floor((count - 1) / 2)]!,
      std: Math.sqrt(squares / (count - 1)),
      min: count === 0 ? Infinity : sorted[0]!,
      q25: quantile(0.25),
      q50: quantile(0.5),
      q75: quantile(0.75),
      max: count === 0 ? -Infinity : sorted[count - 1]!,
    }
  }
}

const LINES = [
  ['Mean', 'mean'],
  ['Median', 'median'],
  ['Std', 'std'],
  ['Min', 'min'],
  ['25%', 'q25'],
  ['50%', 'q50'],
  ['75%', 'q75'],
  ['Max', 'max'],
] as const

const OPTION_NAMES: readonly (readonly [Filter, string])[] = [
  ['absoluteMargin', 'absoluteMargin'],
  ['relativeMargin', 'relativeMargin'],
  ['maxScore', 'maxScore'],
  ['minScore', 'minScore'],
]

/** The statistics as a table and sentences. */
export function describeMining(statistics: MiningStatistics, options: ResolvedMining): string {
  const { positive, negative, difference, skipped, missing } = statistics
  const whole = (n: number): string => n.toLocaleString('en-US')
  const share = (ratio: number): string => `${(100 * ratio).toFixed(2)}%`
  const row = (name: string, ...cells: string[]): string =>
    (name.padEnd(6) + cells.map((cell) => ' ' + cell.padStart(14)).join('')).trimEnd()
  const lines = [
    row('Metric', 'Positive', 'Negative', 'Difference'),
    row('Count', whole(positive.count), whole(negative.count), ''),
    ...LINES.map(([name, key]) =>
      row(name, positive[key].toFixed(4), negative[key].toFixed(4), difference[key].toFixed(4)),
    ),
  ]
  for (const [filter, name] of OPTION_NAMES) {
    const some = skipped[filter]
    if (some !== undefined)
      lines.push(
        `Skipped ${whole(some.count)} potential negatives (${share(some.ratio)}) ` +
          `due to the ${name} of ${options.filters[filter]}.`,
      )
  }
  if (missing.count > 0) {
    const names = [
      'rangeMax',
      ...(options.rangeMin > 0 ? ['rangeMin'] : []),
      ...OPTION_NAMES.flatMap(([filter, name]) => (options.filters[filter] === undefined ? [] : [name])),
    ]
    const listed = names.length === 1 ? names[0]! : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
    lines.push(
      `Could not find enough negatives for ${whole(missing.count)} rows (${share(missing.ratio)}). ` +
        `Consider other values of ${listed}.`,
    )
  }
  return lines.join('\n')
}
