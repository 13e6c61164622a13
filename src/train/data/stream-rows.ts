/** Rows of an iterable: read in order, once per epoch, and never all in memory. */
import { abortError } from '../../core/abort.js'
import { EmbedCoreError, toEmbedCoreError } from '../../core/errors.js'
import { reason, show } from '../../core/show.js'
import type { BadRows } from './bad-rows.js'
import type { DataFormat } from './columns.js'
import { isRecord, parseGiven } from './memory-rows.js'
import type { RawRecord, RowParser } from './parse-row.js'
import type { Row } from './rows.js'
import type { RowStreamSource } from './sources.js'

type RowIterator = Iterator<unknown> | AsyncIterator<unknown>

export class RowStream {
  /** A function gives its rows anew for each epoch; an iterable has one epoch. */
  readonly repeats: boolean
  private iterator: RowIterator | null = null
  private first: unknown
  private hasFirst = false
  /** Rows taken from the iterator of this epoch, bad ones included. */
  private taken = 0
  private started = false
  /** Rows whose faults were reported; later epochs do not report them again. */
  private reported = 0

  private constructor(
    private readonly name: string,
    private readonly source: RowStreamSource,
    private readonly onRow: (row: Row) => void,
    private readonly badRows: BadRows,
    private readonly signal: AbortSignal | null,
  ) {
    this.repeats = typeof source === 'function'
  }

  private parser!: RowParser

  /** Reads the first row, from which the format is detected; it is the first row of the first epoch too. */
  static async open(
    name: string,
    source: RowStreamSource,
    begin: (first: RawRecord, place: string) => RowParser,
    onRow: (row: Row) => void,
    badRows: BadRows,
    signal: AbortSignal | null,
  ): Promise<RowStream> {
    const stream = new RowStream(name, source, onRow, badRows, signal)
    stream.iterator = await stream.begin()
    for (let i = 0; ; i++) {
      const record = await stream.pull()
      if (record === END)
        throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_DATA', `Expected rows from ${name} but found none`)
      if (isRecord(record)) {
        stream.parser = begin(record, `${name}[${i}]`)
        stream.first = record
        stream.hasFirst = true
        stream.taken = i
        return stream
      }
      stream.report(i, `expected an object but found ${show(record)}`)
    }
  }

  get format(): DataFormat {
    return this.parser.format
  }

  get scoresPerRow(): number {
    return this.parser.scoresPerRow
  }

  /** Begins an epoch. @throws ERR_EMBEDCORE_INVALID_OPTION when the rows can be had once only. */
  async restart(): Promise<void> {
    if (!this.started && this.hasFirst) {
      this.started = true
      return
    }
    if (!this.repeats)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_OPTION',
        `Expected a function that returns the rows of ${this.name} for more than one epoch but received an iterable, ` +
          'which has them once',
      )
    await this.close()
    this.iterator = await this.begin()
    this.taken = 0
  }

  /** The next row and its number, which counts bad rows too; null at the end. */
  async next(): Promise<{ row: Row; number: number } | null> {
    for (;;) {
      const record = this.hasFirst ? this.first : await this.pull()
      this.hasFirst = false
      this.first = undefined
      if (record === END) return null
      const number = this.taken++
      const row = parseGiven(this.parser, record)
      if (typeof row !== 'string') {
        this.onRow(row)
        return { row, number }
      }
      this.report(number, row)
    }
  }

  private report(number: number, why: string): void {
    if (number < this.reported) return
    if (this.reported === 0 && this.badRows.policy === 'skip')
      process.emitWarning(`Rows of ${this.name} are left out; the first is ${this.place(number)}: ${why}`, {
        code: 'EMBEDCORE_SKIPPED_ROWS',
      })
    this.reported = number + 1
    this.badRows.add({ file: this.name, line: number, place: this.place(number), reason: why })
    this.badRows.settle()
  }

  place(row: number): string {
    return `${this.name}[${row}]`
  }

  /** Closes the source as leaving a for-await loop does. */
  async close(): Promise<void> {
    const iterator = this.iterator
    this.iterator = null
    try {
      await iterator?.return?.()
    } catch {
      // What a source throws while it is closed has no one to tell.
    }
  }

  private async begin(): Promise<RowIterator> {
    try {
      const rows = typeof this.source === 'function' ? await this.source() : this.source
      const { [Symbol.asyncIterator]: asynchronous, [Symbol.iterator]: synchronous } = Object(rows) as Partial<
        AsyncIterable<unknown> & Iterable<unknown>
      >
      const iterator = asynchronous?.call(rows) ?? synchronous?.call(rows)
      if (typeof rows !== 'string' && typeof iterator?.next === 'function') return iterator
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_OPTION',
        `Expected an iterable of rows for ${this.name} but received ${show(rows)}`,
      )
    } catch (error) {
      throw this.failed(error)
    }
  }

  private async pull(): Promise<unknown> {
    if (this.signal?.aborted === true) throw abortError(this.signal)
    if (this.iterator === null) return END
    try {
      const { done, value } = await this.iterator.next()
      return done === true ? END : value
    } catch (error) {
      throw this.failed(error)
    }
  }

  private failed(error: unknown): EmbedCoreError {
    if (error instanceof EmbedCoreError) return toEmbedCoreError(error)
    return new EmbedCoreError('ERR_EMBEDCORE_INVALID_DATA', `Reading ${this.name} failed: ${reason(error)}`, {
      cause: error,
    })
  }
}

const END = Symbol('end')
