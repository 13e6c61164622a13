/** Queries and documents with their ids, from memory or from a file, in groups; a repeated id is refused. */
import { types } from 'node:util'
import { reason, show } from '../core/show.js'
import { DataFile, invalidData } from '../data/data-file.js'
import { type At, formatOf, type JsonObject, readFields, readObjects, unknownFormat } from '../data/file-records.js'
import type { TextsById } from './types.js'

export interface TextWithId {
  id: string
  text: string
  /** The values of the fields that were asked for. */
  labels: readonly string[]
}

export interface Texts {
  groups: AsyncIterable<TextWithId[]>
  /** Number of texts; null while it is not known. */
  total: number | null
  /** Share of the texts that has been read; null where it is not known. */
  share(): number | null
}

const GROUP = 512

/** `what` they are in messages: `queries` or `corpus`. `fields`: those of the rows that are kept beside the text. */
export async function openTexts(
  source: TextsById,
  what: string,
  quote: string | null,
  signal: AbortSignal,
  fields: readonly string[] = [],
): Promise<Texts> {
  if (typeof source !== 'string') {
    const { total, entries } = inMemory(source, what, fields)
    return { groups: distinct(grouped(entries)), total, share: () => null }
  }
  const file = await DataFile.open(source)
  return { groups: distinct(inFile(file, quote, signal, fields)), total: null, share: () => file.share() }
}

/** A text and where it stands. */
interface Located extends TextWithId {
  place: () => string
}

async function* distinct(groups: AsyncIterable<Located[]>): AsyncGenerator<TextWithId[]> {
  const seen = new Set<string>()
  for await (const group of groups) {
    for (const { id, place } of group) {
      if (seen.has(id)) throw invalidData(`Expected every id once but found ${show(id)} again in ${place()}`)
      seen.add(id)
    }
    yield group
  }
}

async function* grouped(entries: Iterable<Located>): AsyncGenerator<Located[]> {
  let group: Located[] = []
  for (const entry of entries) {
    group.push(entry)
    if (group.length < GROUP) continue
    yield group
    group = []
  }
  if (group.length > 0) yield group
}

function inMemory(
  source: object,
  what: string,
  fields: readonly string[],
): { total: number; entries: Iterable<Located> } {
  if (fields.length > 0 && !Array.isArray(source))
    throw invalidData(`Expected rows with the field ${show(fields[0])} for ${what} but received texts alone`)
  if (types.isMap(source)) {
    return {
      total: source.size,
      entries: mapped(source, ([id, text]) => {
        const place = () => `${what}.get(${show(id)})`
        return { id: idOf(id, place), text: textOf(text, place), labels: [], place }
      }),
    }
  }
  if (Array.isArray(source)) {
    return {
      total: source.length,
      entries: mapped(source.keys(), (i) => {
        const place = () => `${what}[${i}]`
        const row = guarded(place, () => source[i] as unknown)
        if (typeof row !== 'object' || row === null)
          throw invalidData(`Expected an object with _id and text for ${place()} but received ${show(row)}`)
        return { ...textRow(row as JsonObject, fields, place), place }
      }),
    }
  }
  const ids = guarded(
    () => what,
    () => Object.keys(source),
  )
  return {
    total: ids.length,
    entries: mapped(ids, (id) => {
      const place = () => `${what}[${show(id)}]`
      const text = guarded(place, () => (source as JsonObject)[id])
      return { id, text: textOf(text, place), labels: [], place }
    }),
  }
}

function* mapped<A, B>(items: Iterable<A>, map: (item: A) => B): Generator<B> {
  for (const item of items) yield map(item)
}

/** A getter of the caller's that throws gives a coded error. */
export function guarded<T>(place: () => string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw invalidData(`Reading ${place()} failed: ${reason(error)}`, error)
  }
}

/** An id as text. Whole numbers are accepted, because JSON and JavaScript have ids as numbers. */
export function idOf(id: unknown, place: () => string): string {
  if (typeof id === 'string') return id
  if (Number.isSafeInteger(id)) return String(id)
  throw invalidData(`Expected an id (a text or a whole number) in ${place()} but found ${show(id)}`)
}

function textOf(text: unknown, place: () => string): string {
  if (typeof text === 'string') return text
  throw invalidData(`Expected a text in ${place()} but found ${show(text)}`)
}

const ID_FIELDS = ['_id', 'id']

/** The id and the text of an object; the title is put before the text, as BEIR does. */
function textRow(row: JsonObject, fields: readonly string[], place: () => string): TextWithId {
  const field = (name: string): unknown => guarded(place, () => (Object.hasOwn(row, name) ? row[name] : undefined))
  const id = field(ID_FIELDS[0]!) ?? field(ID_FIELDS[1]!)
  if (id === undefined || field('text') === undefined) {
    const found = guarded(place, () => Object.keys(row)).slice(0, 20)
    throw invalidData(`Expected "_id" and "text" in ${place()} but found ${found.map(show).join(', ') || 'no fields'}`)
  }
  const title = field('title')
  return {
    id: idOf(id, place),
    text: titled(title == null ? '' : textOf(title, place), textOf(field('text'), place)),
    labels: fields.map((name) => labelOf(field(name), name, place)),
  }
}

/** The group of an item: a text, a number, true or false. */
export function labelOf(value: unknown, name: string, place: () => string): string {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw invalidData(`Expected a text or a number for ${show(name)} in ${place()} but found ${show(value)}`)
}

function titled(title: string, text: string): string {
  return title === '' ? text : `${title} ${text}`.trim()
}

async function* inFile(
  file: DataFile,
  quote: string | null,
  signal: AbortSignal,
  names: readonly string[],
): AsyncGenerator<Located[]> {
  const format = formatOf(file)
  if (format === null) throw unknownFormat(file)
  const placeOf = (line: number) => () => `line ${line} of ${file.path}`
  if (format === 'jsonl' || format === 'parquet') {
    for await (const group of readObjects(file, format, signal))
      yield group.map(({ line, value }) => ({ ...textRow(value, names, placeOf(line)), place: placeOf(line) }))
    return
  }
  const records = readFields(file, { delimiter: format === 'csv' ? ',' : '\t', quote }, signal)
  let fields: Fields | null = null
  for await (const group of records) {
    let rows = group
    if (fields === null) {
      const found = locate(group[0]!, file, names)
      fields = found.fields
      if (found.isHeader) rows = group.slice(1)
    }
    const { id, text, title, labels } = fields
    yield rows.map(({ line, value }) => ({
      id: value[id]!,
      text: titled(title < 0 ? '' : value[title]!, value[text]!),
      labels: labels.map((at) => value[at]!),
      place: placeOf(line),
    }))
  }
}

/** The places of id, text and title; -1 = none. */
interface Fields {
  id: number
  text: number
  title: number
  labels: number[]
}

/** A first line with the names of the fields is a header; without one, there are an id and a text. */
function locate(
  { line, value: first }: At<string[]>,
  file: DataFile,
  names: readonly string[],
): { fields: Fields; isHeader: boolean } {
  const id = Math.max(...ID_FIELDS.map((name) => first.indexOf(name)))
  const text = first.indexOf('text')
  const labels = names.map((name) => first.indexOf(name))
  if (labels.includes(-1))
    throw invalidData(
      `Expected the column ${show(names[labels.indexOf(-1)])} in line ${line} of ${file.path} ` +
        `but found ${first.slice(0, 20).map(show).join(', ')}`,
    )
  if (id >= 0 && text >= 0) return { fields: { id, text, title: first.indexOf('title'), labels }, isHeader: true }
  if (first.length === 2) return { fields: { id: 0, text: 1, title: -1, labels }, isHeader: false }
  throw invalidData(
    `Expected an id and a text, or a header with "_id" and "text", in line ${line} of ${file.path} ` +
      `but found ${first.length} fields`,
  )
}
