/** The rows of a parquet file, some thousands at a time. The reader is loaded when the first such file is opened. */
import type { FileHandle } from 'node:fs/promises'
import { EmbedCoreError } from '../core/errors.js'
import { reason } from '../core/show.js'
import { readAt } from './records.js'

/** Bytes of rows decoded at once, about, and the most rows: a row group may be as large as the file. */
const BYTES_AT_ONCE = 1 << 24
const ROWS_AT_ONCE = 1 << 16

/** @throws ERR_EMBEDCORE_INVALID_FILE when the file is not parquet, or uses what the reader does not know. */
export async function* parquetRows(handle: FileHandle, file: string): AsyncGenerator<Record<string, unknown>[]> {
  try {
    const [{ parquetMetadataAsync, parquetReadObjects, parquetSchema }, { compressors }] = await Promise.all([
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
    checkColumns(parquetSchema(metadata), metadata.row_groups)
    let groupStart = 0
    for (const group of metadata.row_groups) {
      const count = Number(group.num_rows)
      const groupEnd = groupStart + count
      const bytes = Math.max(1, Number(group.total_byte_size))
      const atOnce = Math.max(1, Math.min(ROWS_AT_ONCE, Math.ceil((count * BYTES_AT_ONCE) / bytes)))
      for (let rowStart = groupStart; rowStart < groupEnd; rowStart += atOnce) {
        const rowEnd = Math.min(groupEnd, rowStart + atOnce)
        const rows = await parquetReadObjects({ file: source, metadata, rowStart, rowEnd, compressors })
        const last = rows.at(-1)
        if (rows.length !== rowEnd - rowStart || last === undefined || !Object.values(last).some(isPresent))
          throw new Error(`it has fewer rows than it says (${groupEnd})`)
        yield rows
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

const isPresent = (value: unknown): boolean => value !== undefined

interface Schema {
  children: Schema[]
  path: string[]
}
interface Group {
  num_rows: bigint
  columns: { meta_data?: { path_in_schema: string[]; num_values: bigint } }[]
}

/**
 * A file whose columns are not those of its schema: the reader would begin to read them all and leave one behind, whose
 * failure then ends the process.
 */
function checkColumns(schema: Schema, groups: readonly Group[]): void {
  const leaves = (node: Schema): string[] =>
    node.children.length === 0 ? [node.path.join('.')] : node.children.flatMap(leaves)
  const known = schema.children.flatMap(leaves)
  const names = schema.children.map(({ path }) => path[0])
  if (new Set(names).size < names.length) throw new Error('it has two columns of one name')
  for (const { num_rows, columns } of groups) {
    const found = columns.map(({ meta_data }) => meta_data?.path_in_schema.join('.'))
    if (found.length !== known.length || known.some((path) => found.filter((other) => other === path).length !== 1))
      throw new Error('its columns are not those of its schema')
    if (columns.some(({ meta_data }) => !(meta_data!.num_values >= num_rows)))
      throw new Error('a column has fewer values than there are rows')
  }
}
