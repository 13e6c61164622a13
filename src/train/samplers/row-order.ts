/** The batches of one source, an epoch at a time. */
import type { RowFacts } from '../data/facts.js'
import type { Row } from '../data/rows.js'

/** The rows of a batch by number; of an iterable, the rows themselves too. */
export interface Picked {
  rows: Uint32Array
  read: Row[] | null
}

/** Where an order stands within its epoch. Plain JSON. */
export interface OrderState {
  epoch: number
  /** Rows or batches gone through, as the sampler counts. */
  position: number
  /** Of no-duplicates: rows passed over so far, in order. */
  deferred?: number[]
}

/** Rows that an epoch does not use, and why. */
export interface Unused {
  rows: number
  reason: string
}

export interface RowOrder {
  /** Batches of an epoch; of no-duplicates those of rows without conflicts; null = not known. */
  readonly batches: number | null
  /** Of the epoch that was begun last. */
  readonly unused: readonly Unused[]
  start(epoch: number): Promise<void>
  /** Null at the end of the epoch. */
  next(): Promise<Picked | null>
  state(): OrderState
  /** Continues where `state` was taken: the next batch is the same. */
  restore(state: OrderState): Promise<void>
}

/** What every order is made with. */
export interface OrderSettings {
  facts: RowFacts
  batchSize: number
  dropLast: boolean
  seed: number
  /** The number of the source. */
  source: number
}

export const batchCount = (rows: number, batchSize: number, dropLast: boolean): number =>
  dropLast ? Math.floor(rows / batchSize) : Math.ceil(rows / batchSize)
