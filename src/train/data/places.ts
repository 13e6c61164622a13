/**
 * Where the rows of a file are: four bytes a row. Places are kept in blocks of 64 rows, as one base and 32-bit
 * distances from it; ends only where the next row does not begin there; lines only where they do not simply follow.
 */
import { EmbedCoreError } from '../../core/errors.js'

const BLOCK = 64

/** A typed array that grows. */
export class Column<T extends Uint32Array | Int32Array | Float64Array> {
  length = 0
  constructor(private items: T) {}

  push(value: number): void {
    if (this.length === this.items.length) {
      const length = Math.max(64, Math.ceil(1.5 * this.length))
      const larger = new (this.items.constructor as new (length: number) => T)(length)
      larger.set(this.items)
      this.items = larger
    }
    this.items[this.length++] = value
  }

  at(i: number): number {
    return this.items[i]!
  }

  /** The items, in no more memory than they need. Nothing is added after this. */
  taken(): T {
    if (this.items.length > this.length) this.items = this.items.slice(0, this.length) as T
    return this.items
  }
}

export class RowPlaces {
  private readonly bases = new Column(new Float64Array(0))
  private readonly distances = new Column(new Uint32Array(0))
  /** Ends of rows after which something else comes, by row. */
  private readonly ends = new Map<number, number>()
  /** Rows from which on line - row is another number. */
  private readonly jumpRows = new Column(new Float64Array(0))
  private readonly jumps = new Column(new Float64Array(0))
  private end = 0

  get count(): number {
    return this.distances.length
  }

  add(start: number, end: number, line: number, file: string): void {
    const row = this.count
    if (row > 0 && start !== this.end) this.ends.set(row - 1, this.end)
    if (row % BLOCK === 0) this.bases.push(start)
    const distance = start - this.bases.at(this.bases.length - 1)
    if (distance >= 2 ** 32)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_DATA',
        `Expected ${BLOCK} rows within 4 GiB of ${file} but line ${line} is ${distance} bytes after the first of them`,
      )
    this.distances.push(distance)
    const jump = line - row
    if (this.jumps.length === 0 || this.jumps.at(this.jumps.length - 1) !== jump) {
      this.jumpRows.push(row)
      this.jumps.push(jump)
    }
    this.end = end
  }

  /** Gives back what the arrays have to spare. Nothing is added after this. */
  finish(): void {
    for (const column of [this.bases, this.distances, this.jumpRows, this.jumps]) column.taken()
  }

  startOf(row: number): number {
    return this.bases.at(Math.floor(row / BLOCK)) + this.distances.at(row)
  }

  endOf(row: number): number {
    return this.ends.get(row) ?? (row + 1 < this.count ? this.startOf(row + 1) : this.end)
  }

  lineOf(row: number): number {
    let [low, high] = [0, this.jumpRows.length - 1]
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.jumpRows.at(middle) <= row) low = middle
      else high = middle - 1
    }
    return row + this.jumps.at(low)
  }
}
