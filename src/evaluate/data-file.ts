/**
 * A file of rows as a stream of whole lines: UTF-8, optionally gzipped. Every failure is an ERR_EMBEDCORE_INVALID_DATA
 * that names file and line.
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { addAbortSignal, type Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { EmbedCoreError } from '../core/errors.js'
import { reason } from '../core/show.js'

/** The longest line, so that a file of another kind does not fill the memory. */
const LONGEST_LINE = 64 * 2 ** 20
/** Parsed in one go, in a few milliseconds. */
const READ_BYTES = 2 ** 16
const NEWLINE = 10

export function invalidData(message: string, cause?: unknown): EmbedCoreError {
  return new EmbedCoreError('ERR_EMBEDCORE_INVALID_DATA', message, cause === undefined ? undefined : { cause })
}

/** Whole lines, and the number of the first, from 1. */
export interface Block {
  text: string
  line: number
}

export class DataFile {
  private bytesRead = 0

  private constructor(
    readonly path: string,
    private readonly size: number | null,
  ) {}

  static async open(path: string): Promise<DataFile> {
    try {
      const stats = await stat(path)
      if (stats.isDirectory()) throw Object.assign(new Error('is a directory'), { code: 'EISDIR' })
      return new DataFile(path, stats.isFile() ? stats.size : null)
    } catch (error) {
      throw unreadable(path, error)
    }
  }

  /** The name without .gz. */
  get plainName(): string {
    return this.path.replace(/\.gz$/i, '')
  }

  /** Share of the file that has been read, 0 to 1; null where its size is not known. */
  share(): number | null {
    return this.size === null || this.size === 0 ? null : Math.min(1, this.bytesRead / this.size)
  }

  /** The text in blocks of whole lines, each of some ten kilobytes unless a line is longer. */
  async *blocks(signal: AbortSignal): AsyncGenerator<Block> {
    let line = 1
    let pending: Uint8Array[] = []
    let pendingBytes = 0
    for await (const bytes of this.bytes(signal)) {
      const end = bytes.lastIndexOf(NEWLINE) + 1
      if (end > 0) {
        const whole = Buffer.concat([...pending, bytes.subarray(0, end)])
        yield { text: this.decode(whole, line), line }
        line += newlines(whole)
        pending = []
        pendingBytes = 0
      }
      if (end < bytes.length) pending.push(bytes.subarray(end))
      pendingBytes += bytes.length - end
      if (pendingBytes > LONGEST_LINE)
        throw invalidData(`Expected at most ${LONGEST_LINE} bytes for line ${line} of ${this.path} but found more`)
    }
    if (pendingBytes > 0) yield { text: this.decode(Buffer.concat(pending), line), line }
  }

  private async *bytes(signal: AbortSignal): AsyncGenerator<Buffer> {
    const file = createReadStream(this.path, { highWaterMark: READ_BYTES })
    file.on('data', (chunk) => (this.bytesRead += chunk.length))
    let stream: Readable = file
    if (this.path !== this.plainName) {
      const unzip = createGunzip({ chunkSize: READ_BYTES })
      file.on('error', (error) => unzip.destroy(error))
      unzip.on('close', () => file.destroy())
      stream = file.pipe(unzip)
    }
    try {
      yield* addAbortSignal(signal, stream) as AsyncIterable<Buffer>
    } catch (error) {
      if ((error as Error).name === 'AbortError') throw error
      throw unreadable(this.path, error)
    } finally {
      stream.destroy()
      file.destroy()
    }
  }

  /** Malformed UTF-8 is refused: replacement characters would silently give other vectors. */
  private decode(bytes: Uint8Array, line: number): string {
    try {
      const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
      return line === 1 && text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
    } catch (error) {
      throw invalidData(
        `Expected UTF-8 in line ${line + linesBefore(bytes)} of ${this.path} but found other bytes`,
        error,
      )
    }
  }
}

function newlines(bytes: Uint8Array): number {
  let count = 0
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) count++
  return count
}

/** The lines before the first one that is not UTF-8. */
function linesBefore(bytes: Uint8Array): number {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  for (let line = 0, start = 0; ; line++) {
    const found = bytes.indexOf(NEWLINE, start)
    const end = found < 0 ? bytes.length : found
    try {
      decoder.decode(bytes.subarray(start, end))
    } catch {
      return line
    }
    if (found < 0) return line
    start = found + 1
  }
}

const SYSTEM: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of the path is not a directory',
  EACCES: 'permission denied',
}

function unreadable(path: string, error: unknown): EmbedCoreError {
  const { code } = error as NodeJS.ErrnoException
  return invalidData(`Cannot read ${path}: ${(code !== undefined && SYSTEM[code]) || reason(error)}`, error)
}
