/**
 * Batches of rows that come from an iterable and cannot be had in any order. `random` keeps a buffer of rows, gives a
 * random one of them and puts the next of the source in its place, so a row can come at most about as much earlier as
 * the buffer is long. To resume, the source is read again from its beginning.
 */
import { hashText } from '../data/facts.js'
import { type Choice, chooseTexts } from '../data/choice.js'
import type { Row } from '../data/rows.js'
import type { RowStream } from '../data/stream-rows.js'
import { Random } from '../../core/random.js'
import type { OrderState, Picked, RowOrder } from './row-order.js'

interface Drawn {
  row: Row
  number: number
}

export interface StreamSettings {
  stream: RowStream
  batchSize: number
  dropLast: boolean
  seed: number
  source: number
  /** Rows kept for `random`; 1 = the order of the source. */
  buffer: number
  /** No text twice in a batch. */
  distinct: boolean
  choice: Choice | null
}

export class StreamOrder implements RowOrder {
  readonly batches = null
  readonly unused = []
  private epoch = 0
  private position = 0
  private buffer: Drawn[] = []
  private ended = false
  private deferred: Drawn[] = []
  private random!: Random

  constructor(private readonly settings: StreamSettings) {}

  async start(epoch: number): Promise<void> {
    const { stream, seed, source } = this.settings
    await stream.restart()
    this.epoch = epoch
    this.position = 0
    this.buffer = []
    this.ended = false
    this.deferred = []
    this.random = new Random(seed, 'buffer', epoch, source)
  }

  async next(): Promise<Picked | null> {
    const { batchSize, dropLast } = this.settings
    for (;;) {
      const batch = await this.fill()
      if (batch.length === 0) return null
      if (batch.length < batchSize && dropLast) continue
      this.position++
      return { rows: Uint32Array.from(batch, ({ number }) => number), read: batch.map(({ row }) => row) }
    }
  }

  private async fill(): Promise<Drawn[]> {
    const { batchSize, distinct } = this.settings
    const batch: Drawn[] = []
    const waiting: Drawn[] = []
    const seen = new Set<number>()
    const look = (drawn: Drawn): void => {
      const keys = distinct ? this.keysOf(drawn) : []
      if (batch.length === batchSize || keys.some((key) => seen.has(key))) {
        waiting.push(drawn)
        return
      }
      for (const key of keys) seen.add(key)
      batch.push(drawn)
    }
    this.deferred.forEach(look)
    while (batch.length < batchSize) {
      const drawn = await this.draw()
      if (drawn === null) break
      look(drawn)
    }
    this.deferred = waiting
    return batch
  }

  state(): OrderState {
    return { epoch: this.epoch, position: this.position }
  }

  async restore({ epoch, position }: OrderState): Promise<void> {
    await this.start(epoch)
    while (this.position < position && (await this.next()) !== null);
  }

  private async draw(): Promise<Drawn | null> {
    const { stream, buffer } = this.settings
    while (!this.ended && this.buffer.length < buffer) {
      const drawn = await stream.next()
      if (drawn === null) this.ended = true
      else this.buffer.push(drawn)
    }
    if (this.buffer.length === 0) return null
    const place = this.random.below(this.buffer.length)
    const drawn = this.buffer[place]!
    const last = this.buffer.pop()!
    if (place < this.buffer.length) this.buffer[place] = last
    return drawn
  }

  private keysOf({ row, number }: Drawn): number[] {
    const { choice } = this.settings
    const { texts, positives } = row
    const used =
      choice === null ? texts : chooseTexts(choice, this.epoch, number, positives, texts.length).map((i) => texts[i]!)
    return used.map(hashText)
  }
}
