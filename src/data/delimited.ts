/**
 * Rows of CSV and TSV (RFC 4180): quoted fields may hold delimiters, line ends and doubled quotes. Parsed here and not
 * by a library, because rows are read again from their place in the file in any order, and because a row with a broken
 * quote must neither end the file nor take the rows after it along.
 */
import type { RecordEnd } from './records.js'

export interface Dialect {
  /** One ASCII character. */
  delimiter: string
  /** One ASCII character; null = quotes are ordinary characters. */
  quote: string | null
}

const NEWLINE = 10
const RETURN = 13

/** A quoted field that does not close as it must ends with its line. */
export function endOfRow({ delimiter, quote }: Dialect): RecordEnd {
  const [comma, mark] = [delimiter.charCodeAt(0), quote === null ? -1 : quote.charCodeAt(0)]
  return (bytes, from, final) => {
    let at = from
    while (at < bytes.length) {
      if (bytes[at] === mark) {
        const close = closing(bytes, at + 1, mark)
        if (close < 0 || close + 1 >= bytes.length) {
          if (!final) return 0
          return close < 0 ? endOfFirstLine(bytes, from) : bytes.length
        }
        at = close + 1
        const after = bytes[at]
        if (after !== comma && after !== NEWLINE && after !== RETURN) {
          const newline = bytes.indexOf(NEWLINE, at)
          return newline >= 0 ? newline + 1 : final ? bytes.length : 0
        }
      }
      // The rest of a field; quotes within it are ordinary characters.
      while (at < bytes.length && bytes[at] !== comma && bytes[at] !== NEWLINE) at++
      if (at >= bytes.length) break
      if (bytes[at] === NEWLINE) return at + 1
      at++
    }
    return final ? bytes.length : 0
  }
}

/** The place of the quote that closes a field; -1 = not within these bytes. */
function closing(bytes: Buffer, from: number, mark: number): number {
  for (let at = bytes.indexOf(mark, from); at >= 0; at = bytes.indexOf(mark, at + 2))
    if (bytes[at + 1] !== mark) return at
  return -1
}

function endOfFirstLine(bytes: Buffer, from: number): number {
  const newline = bytes.indexOf(NEWLINE, from)
  return newline < 0 ? bytes.length : newline + 1
}

/** The fields of a row, or why it has none. */
export function splitRow(text: string, { delimiter, quote }: Dialect): string[] | string {
  const fields: string[] = []
  let at = 0
  for (;;) {
    if (quote !== null && text[at] === quote) {
      let close = text.indexOf(quote, at + 1)
      while (close >= 0 && text[close + 1] === quote) close = text.indexOf(quote, close + 2)
      if (close < 0) return `has a quote in field ${fields.length + 1} that is not closed`
      if (close + 1 < text.length && text[close + 1] !== delimiter)
        return `has text after the closing quote of field ${fields.length + 1}`
      fields.push(text.slice(at + 1, close).replaceAll(quote + quote, quote))
      at = close + 1
    } else {
      const end = text.indexOf(delimiter, at)
      fields.push(end < 0 ? text.slice(at) : text.slice(at, end))
      at = end < 0 ? text.length : end
    }
    if (at >= text.length) return fields
    at++ // the delimiter; a text that ends with one has an empty last field
    if (at === text.length) {
      fields.push('')
      return fields
    }
  }
}
