/** Bytes of a file or of standard input as strict UTF-8 text, in pieces, counted as they pass. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { addAbortSignal, type Readable } from 'node:stream'
import { InputError, systemReason } from '../failures.js'

/** The longest line, field or JSON value, so that an unclosed quote does not read a file larger than memory. */
export const LONGEST_RECORD = 64 * 2 ** 20

export interface ByteSource {
  /** For messages: the path, or `standard input`. */
  readonly name: string
  readonly stream: Readable
  /** Total bytes, if known. */
  readonly size: number | null
  /** Bytes read so far. */
  bytesRead: number
}

export async function openFile(path: string, signal: AbortSignal): Promise<ByteSource> {
  let size: number | null
  try {
    const stats = await stat(path)
    if (stats.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' })
    size = stats.isFile() ? stats.size : null
  } catch (error) {
    throw new InputError(`cannot read ${path}: ${systemReason(error)}`, { cause: error })
  }
  return {
    name: path,
    stream: abortable(createReadStream(path, { highWaterMark: 2 ** 18 }), signal),
    size,
    bytesRead: 0,
  }
}

export function openStdin(stdin: Readable, signal: AbortSignal): ByteSource {
  return { name: 'standard input', stream: abortable(stdin, signal), size: null, bytesRead: 0 }
}

/**
 * A stream that is destroyed before anyone reads it would end the process with its error; a reader gets the error from
 * its loop.
 */
function abortable(stream: Readable, signal: AbortSignal): Readable {
  return addAbortSignal(
    signal,
    stream.on('error', () => undefined),
  )
}

/**
 * Malformed UTF-8 is refused: replacement characters would silently give other vectors. A leading byte-order mark is
 * dropped.
 */
export async function* decodeUtf8(source: ByteSource): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const decode = (bytes?: Uint8Array) => {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true })
    } catch (error) {
      const where =
        bytes === undefined
          ? 'ends within a character'
          : `within the ${bytes.length} bytes after byte ${source.bytesRead - bytes.length}`
      throw new InputError(`${source.name} is not UTF-8 (${where}); convert it first, e.g. with iconv -t UTF-8`, {
        cause: error,
      })
    }
  }
  try {
    for await (const chunk of source.stream) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Uint8Array)
      source.bytesRead += bytes.length
      yield decode(bytes)
    }
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException
    if (error instanceof InputError || name === 'AbortError' || code === undefined) throw error
    throw new InputError(`cannot read ${source.name}: ${systemReason(error)}`, { cause: error })
  }
  yield decode()
}
