/** Rows that the caller has in an array. They stay where they are; nothing of them is copied. */
import { setImmediate } from 'node:timers/promises'
import { reason, show } from '../../core/show.js'
import type { RawRecord, RowParser } from './parse-row.js'
import { changed } from './row-set.js'
import type { Row } from './rows.js'

/** Rows looked at in one turn of the event loop. */
const PER_TURN = 4096

/** The row in a record of the caller, or why it is none; a getter that throws is a reason too. */
export function parseGiven(parser: RowParser, record: unknown): Row | string {
  try {
    return isRecord(record) ? parser.parse(record) : `expected an object but found ${show(record)}`
  } catch (error) {
    return `reading it failed: ${reason(error)}`
  }
}

export function isRecord(value: unknown): value is RawRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export class MemoryRows {
  private constructor(
    private readonly name: string,
    private readonly parser: RowParser,
    private readonly records: readonly unknown[],
    /** Places of the rows in the array; null = all, in order. */
    private readonly places: readonly number[] | null,
  ) {}

  static async open(
    name: string,
    records: readonly unknown[],
    parser: RowParser,
    onRow: (row: Row) => void,
    onBad: (line: number, place: string, why: string) => void,
  ): Promise<{ rows: MemoryRows; count: number }> {
    const places: number[] = []
    for (let i = 0; i < records.length; i++) {
      if (i % PER_TURN === PER_TURN - 1) await setImmediate()
      const row = parseGiven(parser, records[i])
      if (typeof row === 'string') {
        onBad(i, `${name}[${i}]`, row)
        continue
      }
      places.push(i)
      onRow(row)
    }
    const all = places.length === records.length
    return { rows: new MemoryRows(name, parser, records, all ? null : places), count: places.length }
  }

  get format() {
    return this.parser.format
  }

  get scoresPerRow(): number {
    return this.parser.scoresPerRow
  }

  async read(rows: ArrayLike<number>): Promise<Row[]> {
    return Array.from(rows, (number) => {
      const row = parseGiven(this.parser, this.records[this.placeOf(number)])
      if (typeof row === 'string') throw changed(this.place(number), row)
      return row
    })
  }

  place(row: number): string {
    return `${this.name}[${this.placeOf(row)}]`
  }

  async close(): Promise<void> {}

  private placeOf(row: number): number {
    return this.places === null ? row : this.places[row]!
  }
}
