/** Rows of named columns, from memory, a file, or the files of a split of a data set: checked, in groups. */
import { stat } from 'node:fs/promises'
import { reason, show } from '../core/show.js'
import { DataFile, invalidData } from '../data/data-file.js'
import { formatOf, type JsonObject, readFields, readObjects, unknownFormat } from '../data/file-records.js'
import { splitFiles } from './dataset-files.js'
import type { Table } from './options.js'
import { type Column, fieldOf, type Given, keysOf, locate, type Row, rowsOf } from './table-columns.js'

export type { Column, Row, Value } from './table-columns.js'

export interface Rows {
  groups: AsyncIterable<Row[]>
  /** Number of rows; null while it is not known. */
  total: number | null
  /** Share of the rows that has been read; null where it is not known. */
  share(): number | null
}

/** Rows passed on together, which are checked in a millisecond. */
const GROUP = 256

/** The rows have the columns, and after them those of the views. */
export async function openTable(table: Table, own: readonly Column[], signal: AbortSignal): Promise<Rows> {
  const { data } = table
  const columns = [...own, ...table.views.columns.map((name): Column => ({ name, type: 'label' }))]
  if (typeof data !== 'string') {
    let packed = false
    for (let i = 0; i < data.length && !packed; i++) packed = isPacked(elementOf(data, i), own)
    const total = packed ? null : data.length
    return { groups: rowsInMemory(data, table.columns, columns), total, share: () => null }
  }
  const isDirectory = await stat(data).then(
    (stats) => stats.isDirectory(),
    () => false,
  )
  const paths = isDirectory ? await splitFiles(data, table.split, table.subset) : [data]
  const files = await Promise.all(paths.map((path) => DataFile.open(path)))
  return {
    groups: rowsOfFiles(files, table, columns, signal),
    total: null,
    share: () => files.reduce((sum, file) => sum + (file.share() ?? 0), 0) / files.length,
  }
}

/** An element whose getter may throw, which is told of when its row is read. */
function elementOf(data: readonly unknown[], i: number): unknown {
  try {
    return data[i]
  } catch {
    return undefined
  }
}

/** Whether a row in memory has lists where single values are expected. A getter that throws is told of later. */
function isPacked(row: unknown, columns: readonly Column[]): boolean {
  if (typeof row !== 'object' || row === null) return false
  try {
    return columns.some(
      ({ name, also = [], type }) =>
        type !== 'texts' &&
        type !== 'labels' &&
        [name, ...also].some((key) => Array.isArray((row as Record<string, unknown>)[key])),
    )
  } catch {
    return false
  }
}

async function* rowsInMemory(
  data: readonly unknown[],
  given: Given,
  columns: readonly Column[],
): AsyncGenerator<Row[]> {
  const first = elementOf(data, 0)
  const names = keysOf(given, columns, 'rows in memory', typeof first === 'object' && first !== null ? first : {})
  for (let start = 0; start < data.length; start += GROUP) {
    const end = Math.min(data.length, start + GROUP)
    yield Array.from({ length: end - start }, (_, i) => rowInMemory(data, start + i, names, columns)).flat()
  }
}

function rowInMemory(data: readonly unknown[], i: number, names: readonly string[], columns: readonly Column[]): Row[] {
  const place = `data[${i}]`
  try {
    const row = data[i]
    if (typeof row !== 'object' || row === null || Array.isArray(row))
      throw invalidData(`Expected an object with ${names.join(', ')} for ${place} but received ${show(row)}`)
    return rowsOf(row as JsonObject, names, columns, place)
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_EMBEDCORE_INVALID_DATA') throw error
    throw invalidData(`Reading ${place} failed: ${reason(error)}`, error)
  }
}

async function* rowsOfFiles(
  files: readonly DataFile[],
  table: Table,
  columns: readonly Column[],
  signal: AbortSignal,
): AsyncGenerator<Row[]> {
  for (const file of files) yield* rowsOfFile(file, table, columns, signal)
}

async function* rowsOfFile(
  file: DataFile,
  table: Table,
  columns: readonly Column[],
  signal: AbortSignal,
): AsyncGenerator<Row[]> {
  const format = formatOf(file)
  const placeOf = (line: number): string => `line ${line} of ${file.path}`
  if (format === null) throw unknownFormat(file)
  if (format === 'jsonl' || format === 'parquet') {
    let names: string[] | null = table.columns === null ? null : keysOf(table.columns, columns, `${format} files`, {})
    for await (const group of readObjects(file, format, signal)) {
      names ??= keysOf(null, columns, `${format} files`, group[0]!.value)
      const known = names
      yield group.flatMap(({ line, value }) => rowsOf(value, known, columns, placeOf(line)))
    }
    return
  }
  const records = readFields(file, { delimiter: format === 'csv' ? ',' : '\t', quote: table.quote }, signal)
  let places: readonly number[] | null = null
  for await (const group of records) {
    let rows = group
    if (places === null) {
      const found = locate(group[0]!, table.columns, columns, file.path)
      places = found.places
      if (found.isHeader) rows = group.slice(1)
    }
    const at = places
    yield rows.map(({ line, value }) => columns.map((column, c) => fieldOf(value[at[c]!]!, column, placeOf(line))))
  }
}
