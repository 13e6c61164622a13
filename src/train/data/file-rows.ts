/**
 * The rows of a file of JSON lines, CSV or TSV, read from their places in any order. The texts stay in the file; in
 * memory is where each row begins.
 */
import type { FileHandle } from 'node:fs/promises'
import { EmbedCoreError } from '../../core/errors.js'
import { show } from '../../core/show.js'
import { type DataFormat } from './columns.js'
import { type Dialect, endOfRow, splitRow } from '../../data/delimited.js'
import { isRecord } from './memory-rows.js'
import type { RawRecord, RowParser } from './parse-row.js'
import { RowPlaces } from './places.js'
import { endOfLine, readAt, readerOf, type RecordEnd, recordText, scanRecords } from '../../data/records.js'
import { changed } from './row-set.js'
import type { Row } from './rows.js'

/** How the records of a file are cut and read. */
export interface RecordSyntax {
  recordEnd: RecordEnd
  /** The record in a text, or why there is none. */
  parse(text: string): RawRecord | string
  /** Names of the columns: of CSV the first record, unless they are given. */
  header: string[] | null
  dialect: Dialect | null
}

export function jsonSyntax(): RecordSyntax {
  return {
    recordEnd: endOfLine,
    header: null,
    dialect: null,
    parse(text) {
      if (/^\s*\[/.test(text)) return 'begins a list; a line holds one object'
      let value: unknown
      try {
        value = JSON.parse(text)
      } catch (error) {
        return `is not JSON: ${(error as Error).message}`
      }
      return isRecord(value) ? value : `holds ${show(value)}, not an object`
    },
  }
}

export function delimitedSyntax(dialect: Dialect, header: readonly string[] | null): RecordSyntax {
  const syntax: RecordSyntax = {
    recordEnd: endOfRow(dialect),
    header: header === null ? null : [...header],
    dialect,
    parse(text) {
      const fields = splitRow(text, dialect)
      if (typeof fields === 'string') return fields
      const names = syntax.header!
      if (fields.length !== names.length) return `has ${fields.length} fields, not ${names.length} as the header`
      const record: Record<string, string> = {}
      for (let i = 0; i < names.length; i++) record[names[i]!] = fields[i]!
      return record
    },
  }
  return syntax
}

/** What a first pass over a file calls. */
export interface Visitor {
  /** The parser of the records, made from the first of them. Throws when they have no known form. */
  begin(first: RawRecord, line: number): RowParser
  row(row: Row): void
  bad(line: number, why: string): void
  /** Bytes read so far. */
  progress(bytes: number): void
}

/** Neighbouring rows are read at once, up to this many bytes. */
const LARGEST_READ = 1 << 20

export class FileRows {
  private constructor(
    private readonly handle: FileHandle,
    /** For messages. */
    private readonly file: string,
    private readonly syntax: RecordSyntax,
    private readonly parser: RowParser,
    private readonly places: RowPlaces,
    private readonly placeOf: (line: number) => string,
    private readonly onClose: () => Promise<void>,
  ) {}

  /** Reads the whole file once; null = it has no row that can be read. */
  static async open(
    handle: FileHandle,
    file: string,
    syntax: RecordSyntax,
    visitor: Visitor,
    signal: AbortSignal | null,
    placeOf: (line: number) => string,
    onClose: () => Promise<void>,
  ): Promise<{ rows: FileRows; count: number } | null> {
    const places = new RowPlaces()
    let parser: RowParser | null = null
    for await (const records of scanRecords(readerOf(handle, file), syntax.recordEnd, signal)) {
      for (const { start, end, line, text, wrong } of records) {
        if (text === null) {
          visitor.bad(line, wrong)
          continue
        }
        if (syntax.dialect !== null && syntax.header === null) {
          const names = splitRow(text, syntax.dialect)
          const twice = typeof names === 'string' ? '' : names.find((name, i) => names.indexOf(name) < i)
          if (typeof names === 'string' || twice !== undefined)
            throw new EmbedCoreError(
              'ERR_EMBEDCORE_INVALID_DATA',
              `Expected the names of columns at ${placeOf(line)} but the line ` +
                (typeof names === 'string' ? names : `has ${show(twice)} twice`),
            )
          syntax.header = names
          continue
        }
        const record = syntax.parse(text)
        if (typeof record === 'string') {
          visitor.bad(line, record)
          continue
        }
        parser ??= visitor.begin(record, line)
        const row = parser.parse(record)
        if (typeof row === 'string') {
          visitor.bad(line, row)
          continue
        }
        places.add(start, end, line, file)
        visitor.row(row)
      }
      visitor.progress(records.at(-1)!.end)
    }
    if (parser === null) return null
    places.finish()
    return {
      rows: new FileRows(handle, file, syntax, parser, places, placeOf, onClose),
      count: places.count,
    }
  }

  get format(): DataFormat {
    return this.parser.format
  }

  get scoresPerRow(): number {
    return this.parser.scoresPerRow
  }

  async read(rows: ArrayLike<number>): Promise<Row[]> {
    const found = new Array<Row>(rows.length)
    const order = Array.from(rows, (_, i) => i).sort((a, b) => rows[a]! - rows[b]!)
    const reads: Promise<void>[] = []
    for (let first = 0; first < order.length;) {
      let last = first
      const start = this.places.startOf(rows[order[first]!]!)
      const follows = (i: number): boolean =>
        i < order.length &&
        rows[order[i]!]! - rows[order[i - 1]!]! <= 1 &&
        this.places.endOf(rows[order[i]!]!) - start <= LARGEST_READ
      while (follows(last + 1)) last++
      reads.push(this.readRun(rows, order.slice(first, last + 1), start, found))
      first = last + 1
    }
    await Promise.all(reads)
    return found
  }

  place(row: number): string {
    return this.placeOf(this.places.lineOf(row))
  }

  async close(): Promise<void> {
    await this.handle.close()
    await this.onClose()
  }

  /** Reads rows that follow each other in the file. */
  private async readRun(rows: ArrayLike<number>, order: number[], start: number, found: Row[]): Promise<void> {
    const end = this.places.endOf(rows[order.at(-1)!]!)
    const bytes = Buffer.allocUnsafe(end - start)
    const count = await readAt(this.handle, this.file, bytes, start)
    for (const i of order) {
      const number = rows[i]!
      const [from, to] = [this.places.startOf(number) - start, this.places.endOf(number) - start]
      found[i] = this.parse(to <= count ? bytes.subarray(from, to) : null, number)
    }
  }

  private parse(bytes: Buffer | null, number: number): Row {
    if (bytes === null) throw changed(this.place(number), 'is missing')
    // The bytes may have a blank line after the record.
    const text = recordText(bytes.subarray(0, this.syntax.recordEnd(bytes, 0, true)))
    if (text === null) throw changed(this.place(number), 'is not UTF-8')
    const record = this.syntax.parse(text)
    const row = typeof record === 'string' ? record : this.parser.parse(record)
    if (typeof row === 'string') throw changed(this.place(number), row)
    return row
  }
}
