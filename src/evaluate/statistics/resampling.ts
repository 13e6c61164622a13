/** The bootstrap and random signs: seeded, the same numbers on every machine. */
import { allocate } from '../../core/memory.js'
import { integer, only, type Rule } from '../../core/options.js'
import { LARGEST_SEED, Random } from '../../core/random.js'
import { eachInSlices, type Slices } from '../slices.js'
import type { Interval, ResamplingOptions } from './types.js'

export const seedRule: Rule<number> = only(
  `an integer from 0 to ${LARGEST_SEED}`,
  (value) => Number.isSafeInteger(value) && (value as number) >= 0,
)
export const RESAMPLING_RULES = {
  samples: integer(100, 1_000_000),
  level: only<number>('a number between 0 and 1', (value) => typeof value === 'number' && value > 0 && value < 1),
  seed: seedRule,
}
export type Resampling = Required<ResamplingOptions>
export const withDefaults = ({ samples = 2000, level = 0.95, seed = 0 }: ResamplingOptions): Resampling => ({
  samples,
  level,
  seed,
})

/**
 * The score of each resample of `count` items, in ascending order; those without a score (NaN) are left out. `score`
 * gets how often each item was drawn.
 */
export async function bootstrap(
  count: number,
  score: (counts: Uint32Array) => Promise<number>,
  { samples, seed }: Resampling,
  slices: Slices,
): Promise<Float64Array> {
  const scores = allocate(samples, Float64Array)
  const counts = allocate(count, Uint32Array)
  let kept = 0
  for (let sample = 0; sample < samples; sample++) {
    const random = new Random(seed, 'resampling', sample)
    counts.fill(0)
    await eachInSlices(count, slices, () => {
      counts[random.below(count)]!++
    })
    const value = await score(counts)
    if (!Number.isNaN(value)) scores[kept++] = value
  }
  return scores.subarray(0, kept).sort()
}

/** The percentile interval of sorted scores; null where there are none. */
export function intervalOf(sorted: Float64Array, { level }: Resampling): Interval | null {
  if (sorted.length === 0) return null
  return {
    low: quantile(sorted, (1 - level) / 2),
    high: quantile(sorted, (1 + level) / 2),
    level,
    samples: sorted.length,
  }
}

/** Between two values, in proportion, as numpy.quantile. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  const place = q * (sorted.length - 1)
  const low = Math.floor(place)
  const high = Math.min(sorted.length - 1, low + 1)
  return sorted[low]! + (place - low) * (sorted[high]! - sorted[low]!)
}

/**
 * Probability that the mean of the differences is as far from 0 when the sign of each is random. The given signs count
 * as one of the draws, so that it is never 0.
 */
export async function signTest(
  differences: Float64Array,
  { samples, seed }: Resampling,
  slices: Slices,
): Promise<number> {
  const changed = differences.filter((difference) => difference !== 0)
  const total = Math.abs(changed.reduce((sum, difference) => sum + difference, 0))
  // Sums of the same numbers in other signs are rounded otherwise.
  const least = total * (1 - 1e-12)
  let asFar = 1
  for (let sample = 0; sample < samples; sample++) {
    const random = new Random(seed, 'signs', sample)
    let [sum, bits, left] = [0, 0, 0]
    await eachInSlices(changed.length, slices, (i) => {
      if (left === 0) [bits, left] = [random.uint32(), 32]
      sum += (bits & 1) === 1 ? changed[i]! : -changed[i]!
      bits >>>= 1
      left--
    })
    if (Math.abs(sum) >= least) asFar++
  }
  return asFar / (samples + 1)
}

/** Holm's correction of the probabilities of several tests, in their order. */
export function holm(probabilities: readonly number[]): number[] {
  const order = probabilities.map((_, i) => i).sort((i, j) => probabilities[i]! - probabilities[j]!)
  const corrected = new Array<number>(probabilities.length)
  let most = 0
  order.forEach((i, rank) => {
    most = Math.max(most, Math.min(1, (probabilities.length - rank) * probabilities[i]!))
    corrected[i] = most
  })
  return corrected
}
