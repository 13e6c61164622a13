/** The rows of a parquet file, some thousands at a time. The reader is loaded when the first such file is opened. */
import type { FileHandle } from 'node:fs/promises'
import { EmbedCoreError } from '../../core/errors.js'
import { reason } from '../../core/show.js'
import { readAt } from './records.js'

/** Bytes of rows decoded at once, about: a row group may be as large as the file. */
const BYTES_AT_ONCE = 1 << 24

/** @throws ERR_EMBEDCORE_INVALID_FILE when the file is not parquet, or uses what the reader does not know. */
export async function* parquetRows(handle: FileHandle, file: string): AsyncGenerator<Record<string, unknown>[]> {
  try {
    const [{ parquetMetadataAsync, parquetReadObjects }, { compressors }] = await Promise.all([
      import('hyparquet'),
      import('hyparquet-compressors'),
    ])
    const { size } = await handle.stat()
    const source = {
      byteLength: size,
      async slice(start: number, end = size): Promise<ArrayBuffer> {
        const bytes = new ArrayBuffer(end - start)
        await readAt(handle, file, Buffer.from(bytes), start)
        return bytes
      },
    }
    const metadata = await parquetMetadataAsync(source)
    let groupStart = 0
    for (const group of metadata.row_groups) {
      const count = Number(group.num_rows)
      const groupEnd = groupStart + count
      const atOnce = Math.max(1, Math.ceil((count * BYTES_AT_ONCE) / Math.max(1, Number(group.total_byte_size))))
      for (let rowStart = groupStart; rowStart < groupEnd; rowStart += atOnce) {
        const rowEnd = Math.min(groupEnd, rowStart + atOnce)
        yield await parquetReadObjects({ file: source, metadata, rowStart, rowEnd, compressors })
      }
      groupStart = groupEnd
    }
  } catch (error) {
    if (error instanceof EmbedCoreError) throw error
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', `Cannot read ${file} as parquet: ${reason(error)}`, {
      cause: error,
    })
  }
}
