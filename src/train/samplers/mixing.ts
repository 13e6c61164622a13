/** Which source gives the next batch. A batch is of one source. */
import { Random } from '../../core/random.js'

export const MIXINGS = ['proportional', 'round-robin', 'weighted', 'temperature'] as const
/**
 * - `proportional`: an epoch is every batch of every source once, in random order.
 * - `round-robin`: the sources take turns; an epoch ends with the first that is exhausted.
 * - `weighted`: sources are drawn by their `weight`. A source that is exhausted begins anew in another order; an epoch
 *   has as many batches as all sources together.
 * - `temperature`: as `weighted`, with weights n^(1 / T) for n rows. T = 1 draws by size; a greater T draws small
 *   sources more often.
 */
export type Mixing = (typeof MIXINGS)[number]

/** What is said of a source that has no more batches: whether it begins anew. */
export interface MixingState {
  /** Batches of this epoch so far. */
  batch: number
  /** Of proportional: batches that each source is still expected to give; -1 = it is exhausted. */
  remaining: number[]
}

export class Mixer {
  private batch = 0
  private remaining: number[] = []
  private epoch = 0

  constructor(
    private readonly mixing: Mixing,
    private readonly seed: number,
    /** Batches of each source in an epoch; null = not known. */
    private readonly batches: readonly (number | null)[],
    /** Of weighted and temperature. */
    private readonly shares: readonly number[],
  ) {}

  /** Batches of an epoch; null = not known. Of no-duplicates and proportional the true number may differ. */
  get batchesPerEpoch(): number | null {
    if (this.batches.some((count) => count === null)) return null
    const counts = this.batches as readonly number[]
    return this.mixing === 'round-robin'
      ? Math.min(...counts) * counts.length
      : counts.reduce((sum, count) => sum + count, 0)
  }

  /** Whether a source that is exhausted begins anew within the epoch. */
  get repeats(): boolean {
    return this.mixing === 'weighted' || this.mixing === 'temperature'
  }

  start(epoch: number): void {
    this.epoch = epoch
    this.batch = 0
    this.remaining = this.batches.map((count) => count ?? 0)
  }

  /** The source of the next batch; null at the end of the epoch. */
  next(): number | null {
    const count = this.batches.length
    const most = this.mixing === 'proportional' ? null : this.batchesPerEpoch
    if (most !== null && this.batch >= most) return null
    if (this.mixing === 'round-robin') return this.batch % count
    const random = new Random(this.seed, 'mixing', this.epoch, 0, this.batch)
    if (this.repeats) return draw(this.shares, random)
    const expected = this.remaining.map((left) => Math.max(0, left))
    if (expected.some((left) => left > 0)) return draw(expected, random)
    // A source may have more batches than expected: no-duplicates cuts short ones, and an iterable says nothing.
    const open = this.remaining.flatMap((left, source) => (left >= 0 ? [source] : []))
    return open.length === 0 ? null : open[random.below(open.length)]!
  }

  /** The source gave the batch. */
  given(source: number): void {
    this.batch++
    if (this.remaining[source]! > 0) this.remaining[source]!--
  }

  /** The source has no more batches in this epoch; false = the epoch is over. */
  exhausted(source: number): boolean {
    this.remaining[source] = -1
    return this.mixing !== 'round-robin'
  }

  state(): MixingState {
    return { batch: this.batch, remaining: [...this.remaining] }
  }

  restore(epoch: number, { batch, remaining }: MixingState): void {
    this.epoch = epoch
    this.batch = batch
    this.remaining = [...remaining]
  }
}

function draw(shares: readonly number[], random: Random): number {
  const total = shares.reduce((sum, share) => sum + share, 0)
  let left = random.unit() * total
  for (let i = 0; i < shares.length; i++) {
    left -= shares[i]!
    if (left < 0) return i
  }
  return shares.findLastIndex((share) => share > 0)
}
