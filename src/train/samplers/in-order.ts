/** `sequential` and `random`: every row once, in the order of the source or in a pseudorandom one. */
import { Permutation, Random } from '../../core/random.js'
import { batchCount, type OrderSettings, type OrderState, type Picked, type RowOrder } from './row-order.js'

export class InOrder implements RowOrder {
  readonly batches: number
  readonly unused = []
  private epoch = 0
  private position = 0
  private permutation: Permutation | null = null

  constructor(
    private readonly settings: OrderSettings,
    private readonly shuffled: boolean,
  ) {
    this.batches = batchCount(settings.facts.count, settings.batchSize, settings.dropLast)
  }

  async start(epoch: number): Promise<void> {
    const { seed, source, facts } = this.settings
    this.epoch = epoch
    this.position = 0
    this.permutation = this.shuffled ? new Permutation(facts.count, new Random(seed, 'order', epoch, source)) : null
  }

  async next(): Promise<Picked | null> {
    const { facts, batchSize, dropLast } = this.settings
    const left = facts.count - this.position
    if (left <= 0 || (dropLast && left < batchSize)) return null
    const rows = new Uint32Array(Math.min(left, batchSize))
    for (let i = 0; i < rows.length; i++) {
      const place = this.position + i
      rows[i] = this.permutation === null ? place : this.permutation.at(place)
    }
    this.position += rows.length
    return { rows, read: null }
  }

  state(): OrderState {
    return { epoch: this.epoch, position: this.position }
  }

  async restore({ epoch, position }: OrderState): Promise<void> {
    await this.start(epoch)
    this.position = position
  }
}
