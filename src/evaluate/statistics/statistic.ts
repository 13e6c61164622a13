/** The score of items that occur any number of times: once each, some of them, or drawn with replacement. */
import { allocate } from '../../core/memory.js'
import { eachInSlices, type Slices } from '../slices.js'
import { sortedOrder } from '../sorting.js'
import type { StatisticName } from './types.js'

/** The scores of items, in memory. */
export interface Items {
  statistic: StatisticName
  values: ArrayLike<number>
  /** Of `spearman` and `average_precision`. */
  labels?: ArrayLike<number>
}

/** Sorted once; each score of a sample is then computed in one pass, without a sort. */
export class Statistic {
  private constructor(
    private readonly items: Items,
    private readonly slices: Slices,
    /** The items in ascending order of the values, and of the labels. */
    private readonly byValue: Uint32Array,
    private readonly byLabel: Uint32Array,
  ) {}

  static async of(items: Items, slices: Slices): Promise<Statistic> {
    const { statistic, values, labels } = items
    const none = new Uint32Array(0)
    const order = (by: ArrayLike<number>): Promise<Uint32Array> =>
      sortedOrder(by.length, (i, j) => by[i]! - by[j]!, slices)
    return new Statistic(
      items,
      slices,
      statistic === 'mean' ? none : await order(values),
      statistic === 'spearman' ? await order(labels!) : none,
    )
  }

  get length(): number {
    return this.items.values.length
  }

  /** `counts`: how often each item occurs. NaN where it has no score, such as the mean of nothing. */
  async value(counts: Uint32Array): Promise<number> {
    switch (this.items.statistic) {
      case 'mean':
        return this.mean(counts)
      case 'spearman':
        return this.spearman(counts)
      case 'average_precision':
        return this.averagePrecision(counts)
    }
  }

  private async mean(counts: Uint32Array): Promise<number> {
    const { values } = this.items
    let [sum, total] = [0, 0]
    await eachInSlices(counts.length, this.slices, (i) => {
      if (counts[i] === 0) return
      sum += counts[i]! * values[i]!
      total += counts[i]!
    })
    return sum / total
  }

  /** Equal values share the mean of their ranks. */
  private async ranks(order: Uint32Array, by: ArrayLike<number>, counts: Uint32Array): Promise<Float64Array> {
    const ranks = allocate(order.length, Float64Array)
    let [first, before, weight] = [0, 0, 0]
    await eachInSlices(order.length, this.slices, (i) => {
      weight += counts[order[i]!]!
      if (i + 1 < order.length && by[order[i + 1]!] === by[order[first]!]) return
      for (; first <= i; first++) ranks[order[first]!] = before + (weight - 1) / 2
      before += weight
      weight = 0
    })
    return ranks
  }

  private async spearman(counts: Uint32Array): Promise<number> {
    const { values, labels } = this.items
    const x = await this.ranks(this.byValue, values, counts)
    const y = await this.ranks(this.byLabel, labels!, counts)
    let total = 0
    await eachInSlices(counts.length, this.slices, (i) => (total += counts[i]!))
    const mean = (total - 1) / 2
    let [xx, yy, xy] = [0, 0, 0]
    await eachInSlices(counts.length, this.slices, (i) => {
      const [dx, dy] = [x[i]! - mean, y[i]! - mean]
      xx += counts[i]! * dx * dx
      yy += counts[i]! * dy * dy
      xy += counts[i]! * dx * dy
    })
    return xx === 0 || yy === 0 ? NaN : Math.max(-1, Math.min(1, xy / Math.sqrt(xx * yy)))
  }

  /**
   * The sum over values of (recall - recall before) * precision, where items of one value come together, as
   * average_precision_score of scikit-learn.
   */
  private async averagePrecision(counts: Uint32Array): Promise<number> {
    const { values, labels } = this.items
    const order = this.byValue
    const count = order.length
    let [all, right, sum, group, groupRight] = [0, 0, 0, 0, 0]
    await eachInSlices(count, this.slices, (step) => {
      const place = count - 1 - step
      const item = order[place]!
      group += counts[item]!
      if (labels![item] === 1) groupRight += counts[item]!
      if (place > 0 && values[order[place - 1]!] === values[item]) return
      all += group
      right += groupRight
      if (groupRight > 0) sum += (groupRight * right) / all
      group = groupRight = 0
    })
    return sum / right
  }
}

/** Every item once. */
export function once(count: number): Uint32Array {
  return allocate(count, Uint32Array).fill(1)
}
