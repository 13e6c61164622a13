/**
 * A file of records, scanned from its beginning in bounded memory. A record is a run of bytes with a known place: a
 * line of JSON, or a row of CSV, whose quoted fields may hold line ends. A record that is broken ends where its line
 * ends, so the ones after it are read.
 */
import { isUtf8 } from 'node:buffer'
import type { FileHandle } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { abortError } from '../core/abort.js'
import { EmbedCoreError } from '../core/errors.js'
import { reason } from '../core/show.js'

/** The longest record, so that an unclosed quote does not read a file larger than memory. */
export const LONGEST_RECORD = 64 * 2 ** 20
const TOO_LONG = `is longer than ${LONGEST_RECORD} bytes`
/** Bytes whose rows are read in one turn of the event loop, which takes some milliseconds. */
const CHUNK = 1 << 17
const NEWLINE = 10
const BLANK = /^[ \r]*$/

/**
 * Where the record at `from` ends, its line end included; 0 = not within these bytes. `final`: no more bytes come, or
 * the record is too long.
 */
export type RecordEnd = (bytes: Buffer, from: number, final: boolean) => number

export interface RecordSlice {
  /** Place of its first byte in the file. */
  start: number
  /** Place after its line end. */
  end: number
  /** The line that it begins in, from 1. */
  line: number
  /** Without its line end; null = longer than allowed, or not UTF-8. */
  text: string | null
  /** Why `text` is null. */
  wrong: string
  /** The line of what is wrong, which of a record over several lines need not be the first. */
  wrongLine: number
}

export const endOfLine: RecordEnd = (bytes, from, final) => {
  const newline = bytes.indexOf(NEWLINE, from)
  return newline >= 0 ? newline + 1 : final ? bytes.length : 0
}

/** The text of a record without its line end; null when the bytes are not UTF-8. */
export function recordText(bytes: Buffer): string | null {
  if (!isUtf8(bytes)) return null
  const end = bytes.length
  const cut = end > 0 && bytes[end - 1] === NEWLINE ? (end > 1 && bytes[end - 2] === 13 ? 2 : 1) : 0
  return bytes.toString('utf8', 0, end - cut)
}

/** Fills a buffer with the bytes that come next; the count is smaller only where they end. */
export type ByteReader = (into: Buffer) => Promise<number>

/** The bytes of a file from its beginning. */
export function readerOf(handle: FileHandle, file: string): ByteReader {
  let place = 0
  return async (into) => {
    const count = await readAt(handle, file, into, place)
    place += count
    return count
  }
}

/** The records of a file, in groups of about a chunk. Blank lines are passed over. */
export async function* scanRecords(
  read: ByteReader,
  recordEnd: RecordEnd,
  signal: AbortSignal | null,
): AsyncGenerator<RecordSlice[]> {
  let pending: Buffer = Buffer.alloc(0)
  let base = 0 // place of pending[0] in the file
  let line = 1
  let ended = false
  let skipping = false // within a line that is too long
  let whole = true // whether `pending` has no further whole record
  while (!ended || !whole) {
    if (signal?.aborted === true) throw abortError(signal)
    if (whole) {
      // A record that is not whole is read on in steps as long as itself, so that it is not copied at every chunk.
      const chunk = Buffer.allocUnsafe(Math.max(CHUNK, Math.min(pending.length, LONGEST_RECORD - pending.length)))
      const count = await read(chunk)
      ended = count < chunk.length
      pending = pending.length === 0 ? chunk.subarray(0, count) : Buffer.concat([pending, chunk.subarray(0, count)])
    }
    let from = base === 0 && pending[0] === 0xef && pending[1] === 0xbb && pending[2] === 0xbf ? 3 : 0
    const records: RecordSlice[] = []
    whole = true
    while (from < pending.length) {
      if (from >= CHUNK) {
        whole = false // the rest in the next turn
        break
      }
      if (skipping) {
        const newline = pending.indexOf(NEWLINE, from)
        from = newline >= 0 ? newline + 1 : pending.length
        skipping = newline < 0
        if (newline >= 0) line++
        continue
      }
      let end = recordEnd(pending, from, ended)
      if (end === 0 && pending.length - from > LONGEST_RECORD) {
        end = recordEnd(pending, from, true)
        if (end === pending.length && pending[end - 1] !== NEWLINE) {
          records.push({ start: base + from, end: base + end, line, text: null, wrong: TOO_LONG, wrongLine: line })
          from = end
          skipping = true
          continue
        }
      }
      if (end === 0) break
      const bytes = pending.subarray(from, end)
      const long = end - from > LONGEST_RECORD
      const text = long ? null : recordText(bytes)
      if (text === null || !BLANK.test(text))
        records.push({
          start: base + from,
          end: base + end,
          line,
          text,
          wrong: long ? TOO_LONG : 'is not UTF-8',
          wrongLine: text === null && !long ? line + linesBefore(bytes) : line,
        })
      line += lineEnds(bytes)
      from = end
    }
    base += from
    pending = pending.subarray(from)
    if (records.length > 0) yield records
    await setImmediate() // reading a cached file may never leave the microtask queue
  }
}

/** The lines before the first one that is not UTF-8. */
function linesBefore(bytes: Buffer): number {
  for (let line = 0, start = 0; ; line++) {
    const newline = bytes.indexOf(NEWLINE, start)
    if (newline < 0 || !isUtf8(bytes.subarray(start, newline))) return line
    start = newline + 1
  }
}

function lineEnds(bytes: Buffer): number {
  let count = 0
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) count++
  return count
}

/** Fills the bytes from a place of the file; the count is smaller only at its end. */
export async function readAt(handle: FileHandle, file: string, into: Buffer, place: number): Promise<number> {
  let done = 0
  try {
    while (done < into.length) {
      const { bytesRead } = await handle.read(into, done, into.length - done, place + done)
      if (bytesRead === 0) break
      done += bytesRead
    }
  } catch (error) {
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', `Cannot read ${file}: ${reason(error)}`, { cause: error })
  }
  return done
}
