/**
 * Reads CSV and TSV as a stream with `csv-parse`: quotes, delimiters and line ends within fields, CRLF, byte-order
 * mark.
 */
import { CsvError, parse } from 'csv-parse'
import { pipeline } from 'node:stream/promises'
import { InputError } from '../failures.js'
import { didYouMean } from '../did-you-mean.js'
import { decodeUtf8, LONGEST_RECORD, type ByteSource } from './bytes.js'

export interface DelimitedOptions {
  delimiter: string
  /** null = quotes are ordinary characters. */
  quote: string | null
  /**
   * Names (the first row is then the header) or numbers counted from 1.
   * null = the column named `text` if the first row has one, else the only column.
   */
  columns: readonly string[] | null
  /** The first row is a header even though columns are numbers. */
  header: boolean
}

/** The most records that are passed on together. */
const GROUP = 512

const isNumber = (column: string) => /^\d+$/.test(column)
const listed = (names: readonly string[]) => names.map((name) => JSON.stringify(name)).join(', ')

/**
 * The selected fields of every record. A record of another length than the first is an error; blank lines are skipped.
 */
export async function* readDelimited(source: ByteSource, options: DelimitedOptions): AsyncGenerator<string[][]> {
  const parser = parse({
    delimiter: options.delimiter,
    quote: options.quote,
    escape: options.quote,
    skip_empty_lines: true,
    max_record_size: LONGEST_RECORD,
  })
  // A failure of the source reaches the loop below through the parser, which pipeline destroys.
  const feeding = pipeline(decodeUtf8(source), parser).catch(() => undefined)
  let places: readonly number[] | null = null
  let rows: string[][] = []
  try {
    for await (const record of parser as AsyncIterable<string[]>) {
      if (places === null) {
        const found = locate(record, options, source.name)
        places = found.places
        if (!found.isHeader) rows.push(places.map((place) => record[place]!))
      } else rows.push(places.map((place) => record[place]!))
      // An empty buffer means that the rest has not arrived yet, so the records at hand are passed on.
      if (rows.length >= GROUP || (rows.length > 0 && parser.readableLength === 0)) {
        yield rows
        rows = []
      }
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error
    const advice = /QUOTE/.test(error.code) ? '; where quotes are ordinary characters, --quote none reads them so' : ''
    throw new InputError(`${source.name}: ${error.message}${advice}`, { cause: error })
  } finally {
    parser.destroy()
    await feeding
  }
  if (rows.length > 0) yield rows
  // An empty file has no header to look the column up in.
  if (places === null && options.columns?.some((column) => !isNumber(column))) {
    throw new InputError(`${source.name} is empty: it has no header with ${listed(options.columns)}`)
  }
}

/** The positions of the selected columns, from the first record. */
function locate(
  first: readonly string[],
  { columns, header }: DelimitedOptions,
  name: string,
): { places: number[]; isHeader: boolean } {
  if (columns === null) {
    const text = first.indexOf('text')
    if (text >= 0) return { places: [text], isHeader: true }
    if (first.length === 1) return { places: [0], isHeader: header }
    throw new InputError(
      `${name} has ${first.length} columns and none is named "text": ` +
        `say which with --column (first row: ${listed(first)})`,
    )
  }
  const isHeader = header || columns.some((column) => !isNumber(column))
  const places = columns.map((column) => {
    const place = isNumber(column) ? Number(column) - 1 : first.indexOf(column)
    if (place >= first.length) throw new InputError(`${name} has ${first.length} columns, so no column ${column}`)
    if (place < 0)
      throw new InputError(
        `${name} has no column ${JSON.stringify(column)}; its header is ${listed(first)}${didYouMean(column, first)}`,
      )
    if (!isNumber(column) && first.lastIndexOf(column) !== place)
      throw new InputError(`${name} has more than one column ${JSON.stringify(column)}; say which by its number`)
    return place
  })
  return { places, isHeader }
}
