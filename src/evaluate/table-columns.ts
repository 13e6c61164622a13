/** The columns of tables: how they are named, which type they have, and what is wrong with a value. */
import { invalidOption } from '../core/options.js'
import { nearest, show } from '../core/show.js'
import { invalidData } from '../data/data-file.js'
import type { At, JsonObject } from '../data/file-records.js'

export interface Column {
  name: string
  /** Other names that data sets have for it, those of MTEB. */
  also?: readonly string[]
  /**
   * `label`: a text, a number, true or false; kept as text. `texts`: a list of texts, or one. `labels`: a list of them.
   */
  type: 'text' | 'number' | 'label' | 'texts' | 'labels'
}

/** The values of a row, in the order of the columns. */
export type Value = string | number | readonly string[]
export type Row = readonly Value[]

/** Names that the caller gave for the columns; null = the columns' own. */
export type Given = readonly (string | number)[] | null

const isNumber = (column: string | number): boolean => /^\d+$/.test(String(column))
const isList = ({ type }: Column): boolean => type === 'texts' || type === 'labels'
const listed = (names: readonly string[]): string =>
  names.length === 0 ? 'nothing' : names.slice(0, 20).map(show).join(', ')
const hint = (name: string, names: readonly string[]): string => {
  const near = nearest(name, names)
  return near === null ? '' : `; the option columns names other columns, such as ${show(near)}`
}
const without = (names: readonly string[], used: readonly string[]): string[] =>
  names.filter((name) => !used.includes(name))

/** The names of the columns in objects. `first`: an object that tells which of its names a column has. */
export function keysOf(given: Given, columns: readonly Column[], where: string, first: object): string[] {
  const number = given?.find(isNumber)
  if (number !== undefined) throw invalidOption('columns', `names, as ${where} have,`, number)
  return columns.map((column, c) => (given?.[c] === undefined ? nameIn(column, Object.keys(first)) : String(given[c])))
}

function nameIn({ name, also = [] }: Column, names: readonly string[]): string {
  return [name, ...also].find((candidate) => names.includes(candidate)) ?? name
}

/**
 * The rows of an object. Data sets of MTEB have lists in place of single values, all of one length: an object is then
 * many rows.
 */
export function rowsOf(row: JsonObject, names: readonly string[], columns: readonly Column[], place: string): Row[] {
  const own = (c: number): unknown => (Object.hasOwn(row, names[c]!) ? row[names[c]!] : undefined)
  const packed = columns.findIndex((column, c) => !isList(column) && Array.isArray(own(c)))
  if (packed < 0) return [columns.map((_column, c) => valueOf(own(c), c, { row, names, columns, place }))]
  const { length } = own(packed) as unknown[]
  const lists = columns.map((column, c): unknown[] => {
    const list = own(c)
    if (Array.isArray(list) && list.length === length) return list as unknown[]
    if (isList(column)) throw invalidData(`Expected one value for ${names[packed]} in ${place} but found a list`)
    throw invalidData(
      `Expected a list of ${length} for ${names[c]} in ${place}, as for ${names[packed]}, but found ${show(list)}`,
    )
  })
  return Array.from({ length }, (_, i) =>
    columns.map((_column, c) => valueOf(lists[c]![i], c, { row, names, columns, place: `${place}, item ${i}` })),
  )
}

interface Place {
  row: JsonObject
  names: readonly string[]
  columns: readonly Column[]
  place: string
}

function valueOf(value: unknown, c: number, { row, names, columns, place }: Place): Value {
  const [name, { type }] = [names[c]!, columns[c]!]
  switch (type) {
    case 'text':
      if (typeof value === 'string') return value
      break
    case 'number':
      if (typeof value === 'boolean') return Number(value)
      if (Number.isFinite(value)) return value as number
      break
    case 'label':
      if (isLabel(value)) return String(value)
      break
    case 'texts':
      if (typeof value === 'string') return [value]
      if (Array.isArray(value) && value.every((text) => typeof text === 'string')) return value as string[]
      break
    case 'labels':
      if (Array.isArray(value) && value.every(isLabel)) return value.map(String)
  }
  if (value !== undefined)
    throw invalidData(`Expected a ${TYPES[type]} for ${name} in ${place} but found ${show(value)}`)
  const keys = Object.keys(row)
  throw invalidData(`Expected ${show(name)} in ${place} but found ${listed(keys)}${hint(name, without(keys, names))}`)
}

const isLabel = (value: unknown): boolean =>
  typeof value === 'string' || Number.isFinite(value) || typeof value === 'boolean'
const TYPES = {
  text: 'text',
  number: 'number',
  label: 'label (a text or a number)',
  texts: 'list of texts',
  labels: 'list of labels',
} as const

/** The value of a field of csv or tsv. */
export function fieldOf(field: string, column: Column, place: string): Value {
  const { name, type } = column
  if (type === 'text' || type === 'label') return field
  if (isList(column))
    throw invalidData(`Expected jsonl or parquet for the lists of ${name} but found a table: ${place}`)
  const value = field.trim() === '' ? NaN : Number(field)
  if (Number.isFinite(value)) return value
  throw invalidData(`Expected a number for ${name} in ${place} but found ${show(field)}`)
}

/** The places of the columns in the fields of a record, from the first record. */
export function locate(
  { line, value: first }: At<string[]>,
  given: Given,
  columns: readonly Column[],
  path: string,
): { places: number[]; isHeader: boolean } {
  const names = columns.map((column, c) => given?.[c] ?? nameIn(column, first))
  const places = names.map((name) => {
    const place = isNumber(name) ? Number(name) - 1 : first.indexOf(String(name))
    if (isNumber(name) && place >= 0 && place < first.length) return place
    if (isNumber(name)) throw invalidData(`Expected column ${name} in ${path} but found ${first.length} columns`)
    if (place < 0)
      throw invalidData(
        `Expected the column ${show(name)} in line ${line} of ${path} but found ${listed(first)}` +
          (given === null
            ? `; name or number the columns with the option columns`
            : hint(String(name), without(first, names.map(String)))),
      )
    if (first.lastIndexOf(String(name)) !== place)
      throw invalidData(`Expected one column ${show(name)} in ${path} but found several; give its number`)
    return place
  })
  return { places, isHeader: names.some((name) => !isNumber(name)) }
}
