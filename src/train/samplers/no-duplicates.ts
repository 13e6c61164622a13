/**
 * `no-duplicates`: no text twice in a batch, in whatever columns, for losses whose negatives are the other rows. As in
 * sentence-transformers: rows come in random order; one that shares a text with the batch waits, and those that wait
 * come first in the next batch. What cannot fill a batch at the end makes smaller ones (or none, with `dropLast`).
 */
import { setImmediate } from 'node:timers/promises'
import { Permutation, Random } from '../../core/random.js'
import { batchCount, type OrderSettings, type OrderState, type Picked, type RowOrder } from './row-order.js'

/** Rows looked at in one turn of the event loop. */
const PER_TURN = 8192

export class NoDuplicates implements RowOrder {
  readonly batches: number
  readonly unused = []
  private epoch = 0
  private position = 0
  private deferred: number[] = []
  private permutation!: Permutation

  constructor(private readonly settings: OrderSettings) {
    this.batches = batchCount(settings.facts.count, settings.batchSize, settings.dropLast)
  }

  async start(epoch: number): Promise<void> {
    const { seed, source, facts } = this.settings
    this.epoch = epoch
    this.position = 0
    this.deferred = []
    this.permutation = new Permutation(facts.count, new Random(seed, 'order', epoch, source))
  }

  async next(): Promise<Picked | null> {
    const { batchSize, dropLast } = this.settings
    for (;;) {
      const batch = await this.fill()
      if (batch.length === 0) return null
      if (batch.length === batchSize || !dropLast) return { rows: Uint32Array.from(batch), read: null }
    }
  }

  /** As many rows as fit in a batch: those that wait, then new ones. */
  private async fill(): Promise<number[]> {
    const { facts, batchSize } = this.settings
    const keysOf = facts.keys!
    const { epoch } = this
    const batch: number[] = []
    const waiting: number[] = []
    const seen = new Set<number>()
    let looked = 0
    const look = async (row: number): Promise<void> => {
      if (++looked % PER_TURN === 0) await setImmediate()
      const keys = keysOf(row, epoch)
      let free = batch.length < batchSize
      for (let i = 0; free && i < keys.length; i++) free = !seen.has(keys[i]!)
      if (!free) {
        waiting.push(row)
        return
      }
      for (let i = 0; i < keys.length; i++) seen.add(keys[i]!)
      batch.push(row)
    }
    for (const row of this.deferred) await look(row)
    while (batch.length < batchSize && this.position < facts.count) await look(this.permutation.at(this.position++))
    this.deferred = waiting
    return batch
  }

  state(): OrderState {
    return { epoch: this.epoch, position: this.position, deferred: [...this.deferred] }
  }

  async restore({ epoch, position, deferred }: OrderState): Promise<void> {
    await this.start(epoch)
    this.position = position
    this.deferred = [...(deferred ?? [])]
  }
}
