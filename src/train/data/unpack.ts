/**
 * Files whose rows cannot be read one by one (.gz, .parquet) are unpacked once into a temporary file, as bytes or as
 * JSON lines. Its name is removed while it is open, so that it goes away with the process, however that ends.
 */
import { mkdtemp, open, rm } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createGunzip } from 'node:zlib'
import { abortError } from '../../core/abort.js'
import { EmbedCoreError } from '../../core/errors.js'
import { reason } from '../../core/show.js'
import { parquetRows } from '../../data/parquet.js'

export interface Unpacked {
  handle: FileHandle
  /** Removes what is left of the file, after its handle is closed. */
  remove(): Promise<void>
}

/** Bytes that are written at once. */
const LARGEST_WRITE = 1 << 20

async function temporaryFile(directory: string | null): Promise<Unpacked> {
  try {
    const folder = await mkdtemp(path.join(directory ?? tmpdir(), 'embedcore-rows-'))
    const remove = (): Promise<void> => rm(folder, { recursive: true, force: true })
    try {
      const handle = await open(path.join(folder, 'rows'), 'wx+', 0o600)
      await remove().catch(() => undefined) // Windows keeps the names of open files; `remove` is called again.
      return { handle, remove: () => remove().catch(() => undefined) }
    } catch (error) {
      await remove().catch(() => undefined)
      throw error
    }
  } catch (error) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_FILE',
      `Cannot make a temporary file in ${directory ?? tmpdir()} (option tmpDir): ${reason(error)}`,
      { cause: error },
    )
  }
}

async function write(handle: FileHandle, bytes: Uint8Array, file: string): Promise<void> {
  try {
    for (let done = 0; done < bytes.length;) done += (await handle.write(bytes, done)).bytesWritten
  } catch (error) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_FILE',
      `Cannot unpack ${file} into a temporary file (option tmpDir): ${reason(error)}`,
      { cause: error },
    )
  }
}

/** Unpacks and, when that fails, leaves nothing behind. */
async function unpackInto(directory: string | null, fill: (handle: FileHandle) => Promise<void>): Promise<Unpacked> {
  const unpacked = await temporaryFile(directory)
  try {
    await fill(unpacked.handle)
    return unpacked
  } catch (error) {
    await unpacked.handle.close().catch(() => undefined)
    await unpacked.remove()
    throw error
  }
}

/** The bytes of a gzip file. */
export async function unpackGzip(
  source: FileHandle,
  file: string,
  directory: string | null,
  signal: AbortSignal | null,
): Promise<Unpacked> {
  return unpackInto(directory, async (handle) => {
    const packed = source.createReadStream({ autoClose: false, start: 0, highWaterMark: 1 << 18 })
    const stream = packed.pipe(createGunzip())
    packed.once('error', (error) => stream.destroy(error))
    try {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        if (signal?.aborted === true) throw abortError(signal)
        await write(handle, chunk, file)
      }
    } catch (error) {
      if (error instanceof EmbedCoreError) throw error
      throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', `Cannot unpack ${file}: ${reason(error)}`, {
        cause: error,
      })
    } finally {
      stream.destroy()
      packed.destroy()
    }
  })
}

/** The rows of a parquet file as JSON lines, a line a row. */
export async function unpackParquet(
  source: FileHandle,
  file: string,
  directory: string | null,
  signal: AbortSignal | null,
): Promise<Unpacked> {
  return unpackInto(directory, async (handle) => {
    for await (const rows of parquetRows(source, file)) {
      if (signal?.aborted === true) throw abortError(signal)
      let lines: string[] = []
      let units = 0
      for (const row of rows) {
        const line = JSON.stringify(row, plainValue) + '\n'
        lines.push(line)
        units += line.length
        if (units < LARGEST_WRITE) continue
        await write(handle, Buffer.from(lines.join('')), file)
        lines = []
        units = 0
      }
      await write(handle, Buffer.from(lines.join('')), file)
    }
  })
}

/** 64-bit integers as numbers where these are exact, else as text. */
function plainValue(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
  return ArrayBuffer.isView(value) ? Array.from(value as unknown as ArrayLike<number>) : value
}
