/** Rows of named columns, from memory or from a file: checked, in groups, each wrong value located. */
import { invalidOption } from '../core/options.js'
import { nearest, reason, show } from '../core/show.js'
import { DataFile, invalidData } from '../data/data-file.js'
import type { Table } from './options.js'
import { type At, formatOf, type JsonObject, readFields, readObjects, unknownFormat } from '../data/file-records.js'

export interface Column {
  name: string
  type: 'text' | 'number'
}

/** The values of a row, in the order of the columns. */
export type Row = readonly (string | number)[]

export interface Rows {
  groups: AsyncIterable<Row[]>
  /** Number of rows; null while it is not known. */
  total: number | null
  /** Share of the rows that has been read; null where it is not known. */
  share(): number | null
}

/** Rows passed on together, which are checked in a millisecond. */
const GROUP = 256

export async function openTable(table: Table, columns: readonly Column[], signal: AbortSignal): Promise<Rows> {
  const { data } = table
  if (typeof data !== 'string')
    return { groups: rowsInMemory(data, table, columns), total: data.length, share: () => null }
  const file = await DataFile.open(data)
  return { groups: rowsOfFile(file, table, columns, signal), total: null, share: () => file.share() }
}

async function* rowsInMemory(
  data: readonly unknown[],
  table: Table,
  columns: readonly Column[],
): AsyncGenerator<Row[]> {
  const names = keysOf(table, columns, 'rows in memory')
  for (let start = 0; start < data.length; start += GROUP) {
    const end = Math.min(data.length, start + GROUP)
    yield Array.from({ length: end - start }, (_, i) => rowInMemory(data, start + i, names, columns))
  }
}

function rowInMemory(data: readonly unknown[], i: number, names: readonly string[], columns: readonly Column[]): Row {
  const place = `data[${i}]`
  try {
    const row = data[i]
    if (typeof row !== 'object' || row === null || Array.isArray(row))
      throw invalidData(`Expected an object with ${names.join(', ')} for ${place} but received ${show(row)}`)
    return rowOf(row as JsonObject, names, columns, place)
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_EMBEDCORE_INVALID_DATA') throw error
    throw invalidData(`Reading ${place} failed: ${reason(error)}`, error)
  }
}

async function* rowsOfFile(
  file: DataFile,
  table: Table,
  columns: readonly Column[],
  signal: AbortSignal,
): AsyncGenerator<Row[]> {
  const format = formatOf(file)
  if (format === null) throw unknownFormat(file)
  if (format === 'jsonl' || format === 'parquet') {
    const names = keysOf(table, columns, `${format} files`)
    for await (const group of readObjects(file, format, signal))
      yield group.map(({ line, value }) => rowOf(value, names, columns, `line ${line} of ${file.path}`))
    return
  }
  const records = readFields(file, { delimiter: format === 'csv' ? ',' : '\t', quote: table.quote }, signal)
  let places: readonly number[] | null = null
  for await (const group of records) {
    let rows = group
    if (places === null) {
      const found = locate(group[0]!, table, columns, file)
      places = found.places
      if (found.isHeader) rows = group.slice(1)
    }
    const at = places
    yield rows.map(({ line, value }) =>
      columns.map((column, c) => fieldOf(value[at[c]!], column, `line ${line} of ${file.path}`)),
    )
  }
}

/** The names of the columns in objects. */
function keysOf({ columns: given }: Table, columns: readonly Column[], where: string): string[] {
  const number = given?.find(isNumber)
  if (number !== undefined) throw invalidOption('columns', `names, as ${where} have,`, number)
  return columns.map(({ name }, c) => (given === null ? name : String(given[c])))
}

function rowOf(row: JsonObject, names: readonly string[], columns: readonly Column[], place: string): Row {
  return columns.map(({ type }, c) => {
    const name = names[c]!
    const value = Object.hasOwn(row, name) ? row[name] : undefined
    if (type === 'text' ? typeof value === 'string' : Number.isFinite(value)) return value as string | number
    if (value !== undefined) throw invalidData(`Expected a ${type} for ${name} in ${place} but found ${show(value)}`)
    const keys = Object.keys(row)
    throw invalidData(`Expected ${show(name)} in ${place} but found ${listed(keys)}${hint(name, without(keys, names))}`)
  })
}

function fieldOf(field: string | undefined, { name, type }: Column, place: string): string | number {
  if (type === 'text') return field!
  const value = field!.trim() === '' ? NaN : Number(field)
  if (Number.isFinite(value)) return value
  throw invalidData(`Expected a number for ${name} in ${place} but found ${show(field)}`)
}

const isNumber = (column: string | number): boolean => /^\d+$/.test(String(column))
const listed = (names: readonly string[]): string =>
  names.length === 0 ? 'nothing' : names.slice(0, 20).map(show).join(', ')
const hint = (name: string, names: readonly string[]): string => {
  const near = nearest(name, names)
  return near === null ? '' : `; the option columns names other columns, such as ${show(near)}`
}

const without = (names: readonly string[], used: readonly string[]): string[] =>
  names.filter((name) => !used.includes(name))

/** The places of the columns in the fields of a record, from the first record. */
function locate(
  { line, value: first }: At<string[]>,
  { columns: given }: Table,
  columns: readonly Column[],
  file: DataFile,
): { places: number[]; isHeader: boolean } {
  const names = given ?? columns.map(({ name }) => name)
  const places = names.map((name) => {
    const place = isNumber(name) ? Number(name) - 1 : first.indexOf(String(name))
    if (isNumber(name) && place >= 0 && place < first.length) return place
    if (isNumber(name)) throw invalidData(`Expected column ${name} in ${file.path} but found ${first.length} columns`)
    if (place < 0)
      throw invalidData(
        `Expected the column ${show(name)} in line ${line} of ${file.path} but found ${listed(first)}` +
          (given === null
            ? `; name or number the columns with the option columns`
            : hint(String(name), without(first, names.map(String)))),
      )
    if (first.lastIndexOf(String(name)) !== place)
      throw invalidData(`Expected one column ${show(name)} in ${file.path} but found several; give its number`)
    return place
  })
  return { places, isHeader: names.some((name) => !isNumber(name)) }
}
