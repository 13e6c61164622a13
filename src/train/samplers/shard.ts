/** The part of a batch that one of several processes computes. */

export interface Shard {
  /** From 0. */
  rank: number
  /** Processes. */
  count: number
}

export const WHOLE: Shard = { rank: 0, count: 1 }

/**
 * Rows [from, to) of a batch for a process. All processes draw the same batches; the parts follow each other in the
 * order of ranks and differ by one row at most, so together they are the batch.
 */
export function shardOf(rows: number, { rank, count }: Shard): { from: number; to: number } {
  return { from: Math.floor((rank * rows) / count), to: Math.floor(((rank + 1) * rows) / count) }
}
