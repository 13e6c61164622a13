/** The rows of one source, readable in any order. */
import { EmbedCoreError } from '../../core/errors.js'
import type { DataFormat } from './columns.js'
import type { RowFacts } from './facts.js'
import type { Row } from './rows.js'

export interface RowSet {
  readonly format: DataFormat
  readonly facts: RowFacts
  /** Numbers per row; 0 = none. */
  readonly scoresPerRow: number
  /**
   * The rows of these numbers, in this order.
   * @throws ERR_EMBEDCORE_INVALID_DATA when a row has changed since the data was opened.
   */
  read(rows: ArrayLike<number>): Promise<Row[]>
  /** Where a row is, for messages: `pairs.jsonl:17`. */
  place(row: number): string
  close(): Promise<void>
}

export function changed(place: string, why: string): EmbedCoreError {
  return new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_DATA',
    `Expected the data to stay as they were when they were opened but ${place} ${why}`,
  )
}

/** Several sets of one format as one, in order: the parts of a source. */
export class JoinedRows implements RowSet {
  readonly format: DataFormat
  readonly scoresPerRow: number
  /** [parts + 1] */
  private readonly starts: number[] = [0]

  constructor(
    private readonly parts: readonly Omit<RowSet, 'facts'>[],
    counts: readonly number[],
    readonly facts: RowFacts,
  ) {
    this.format = parts[0]!.format
    this.scoresPerRow = Math.max(...parts.map(({ scoresPerRow }) => scoresPerRow))
    for (const count of counts) this.starts.push(this.starts.at(-1)! + count)
  }

  async read(rows: ArrayLike<number>): Promise<Row[]> {
    const found = new Array<Row>(rows.length)
    const places = new Map<number, number[]>()
    for (let i = 0; i < rows.length; i++) {
      const part = this.partOf(rows[i]!)
      const list = places.get(part)
      if (list === undefined) places.set(part, [i])
      else list.push(i)
    }
    await Promise.all(
      [...places].map(async ([part, list]) => {
        const read = await this.parts[part]!.read(list.map((i) => rows[i]! - this.starts[part]!))
        list.forEach((i, j) => (found[i] = read[j]!))
      }),
    )
    return found
  }

  place(row: number): string {
    const part = this.partOf(row)
    return this.parts[part]!.place(row - this.starts[part]!)
  }

  async close(): Promise<void> {
    await Promise.all(this.parts.map((part) => part.close()))
  }

  private partOf(row: number): number {
    let part = 0
    while (row >= this.starts[part + 1]!) part++
    return part
  }
}
