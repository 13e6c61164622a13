/** A file of rows that is read once from its beginning, optionally gzipped. Failures are ERR_EMBEDCORE_INVALID_DATA. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { addAbortSignal, type Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { EmbedCoreError } from '../core/errors.js'
import { reason } from '../core/show.js'
import type { ByteReader } from './records.js'

const READ_BYTES = 2 ** 16

export function invalidData(message: string, cause?: unknown): EmbedCoreError {
  return new EmbedCoreError('ERR_EMBEDCORE_INVALID_DATA', message, cause === undefined ? undefined : { cause })
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

  /** Hands the bytes to `use`, unpacked. The file is closed when `use` is left. */
  async *read<T>(signal: AbortSignal, use: (read: ByteReader) => AsyncGenerator<T>): AsyncGenerator<T> {
    const file = createReadStream(this.path, { highWaterMark: READ_BYTES })
    file.on('data', (chunk) => (this.bytesRead += chunk.length))
    let stream: Readable = file
    if (this.path !== this.plainName) {
      const unzip = createGunzip({ chunkSize: READ_BYTES })
      file.on('error', (error) => unzip.destroy(error))
      unzip.on('close', () => file.destroy())
      stream = file.pipe(unzip)
    }
    const chunks = (addAbortSignal(signal, stream) as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
    try {
      yield* use(this.fillFrom(chunks))
    } finally {
      stream.destroy()
      file.destroy()
    }
  }

  private fillFrom(chunks: AsyncIterator<Buffer>): ByteReader {
    let chunk: Buffer = Buffer.alloc(0)
    return async (into) => {
      let filled = 0
      while (filled < into.length) {
        if (chunk.length === 0) {
          const next = await chunks.next().catch((error: unknown) => {
            if ((error as Error).name === 'AbortError') throw error
            throw unreadable(this.path, error)
          })
          if (next.done === true) break
          chunk = next.value
        }
        const count = chunk.copy(into, filled)
        chunk = chunk.subarray(count)
        filled += count
      }
      return filled
    }
  }
}

const SYSTEM: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of the path is not a directory',
  EACCES: 'permission denied',
}

export function unreadable(path: string, error: unknown): EmbedCoreError {
  const { code } = error as NodeJS.ErrnoException
  return invalidData(`Cannot read ${path}: ${(code !== undefined && SYSTEM[code]) || reason(error)}`, error)
}
