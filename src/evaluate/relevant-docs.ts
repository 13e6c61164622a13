/**
 * The relevant documents of each query, from memory or from a file of judgments: TREC qrels, the tables of BEIR, jsonl.
 * Documents with a grade above 0 are relevant.
 */
import { types } from 'node:util'
import { show } from '../core/show.js'
import { DataFile, invalidData } from '../data/data-file.js'
import { type At, formatOf, readFields, readObjects, readLines } from '../data/file-records.js'
import type { Slices } from './slices.js'
import { guarded, idOf } from './texts-by-id.js'
import type { RelevantDocs } from './types.js'

export type Relevant = ReadonlyMap<string, ReadonlySet<string>>

export async function readRelevant(
  source: RelevantDocs,
  quote: string | null,
  signal: AbortSignal,
  slices: Slices,
): Promise<Relevant> {
  const relevant = new Map<string, Set<string>>()
  for await (const group of readJudgments(source, 'relevantDocs', quote, signal)) {
    if (slices.over) await slices.next()
    for (const { query, document, grade } of group) {
      if (!(grade > 0)) continue
      const known = relevant.get(query)
      if (known === undefined) relevant.set(query, new Set([document]))
      else known.add(document)
    }
  }
  return relevant
}

export interface Judgment {
  query: string
  document: string
  grade: number
  /** Where it stands, for messages. */
  place: () => string
}

/** All judgments in groups, in their order. `what` they are in messages. */
export async function* readJudgments(
  source: RelevantDocs,
  what: string,
  quote: string | null,
  signal: AbortSignal,
): AsyncGenerator<Judgment[]> {
  if (typeof source === 'string') return yield* judgments(await DataFile.open(source), quote, signal)
  for (const [query, documents] of entriesOf(source, () => what)) yield gradesOf(query, documents, what)
}

function entriesOf(source: object, what: () => string): (readonly [string, unknown])[] {
  if (!types.isMap(source)) return guarded(what, () => Object.entries(source))
  return guarded(what, () => [...source]).map(([id, value]) => [idOf(id, what), value as unknown] as const)
}

function gradesOf(query: string, documents: unknown, what: string): Judgment[] {
  const place = (): string => `${what} of the query ${show(query)}`
  if (types.isSet(documents) || Array.isArray(documents))
    return guarded(place, () => Array.from(documents as Iterable<unknown>)).map((id) => ({
      query,
      document: idOf(id, place),
      grade: 1,
      place,
    }))
  if (typeof documents !== 'object' || documents === null)
    throw invalidData(`Expected ids of documents in ${place()} but found ${show(documents)}`)
  return Array.from(entriesOf(documents, place), ([document, grade]) => {
    if (typeof grade !== 'number' || Number.isNaN(grade))
      throw invalidData(`Expected a number for ${show(document)} in ${place()} but found ${show(grade)}`)
    return { query, document, grade, place }
  })
}

async function* judgments(file: DataFile, quote: string | null, signal: AbortSignal): AsyncGenerator<Judgment[]> {
  const format = formatOf(file)
  const placeOf = (line: number) => () => `line ${line} of ${file.path}`
  if (format === 'jsonl' || format === 'parquet') {
    for await (const group of readObjects(file, format, signal))
      yield group.map(({ line, value }) => ({
        query: idOf(value['query-id'], placeOf(line)),
        document: idOf(value['corpus-id'], placeOf(line)),
        grade: gradeOf(value.score ?? 1, placeOf(line)),
        place: placeOf(line),
      }))
    return
  }
  let first = true
  const records = format === 'csv' ? readFields(file, { delimiter: ',', quote }, signal) : fieldsOfLines(file, signal)
  for await (const group of records) {
    const rows = first && isHeader(group[0]!.value) ? group.slice(1) : group
    first = false
    yield rows.map(({ line, value }) => judgment(value, placeOf(line)))
  }
}

/** Three fields parted by tabs, or TREC's four, parted by any blanks; lines that begin with # are comments. */
async function* fieldsOfLines(file: DataFile, signal: AbortSignal): AsyncGenerator<At<string[]>[]> {
  for await (const lines of readLines(file, signal)) {
    const group = lines
      .filter(({ value }) => value.trim() !== '' && !value.startsWith('#'))
      .map(({ line, value }) => {
        const fields = value.split('\t')
        return { line, value: fields.length === 3 ? fields : value.trim().split(/\s+/) }
      })
    if (group.length > 0) yield group
  }
}

/** That of BEIR is `query-id corpus-id score`. */
function isHeader(fields: readonly string[]): boolean {
  return /^(query|q)[-_]?id$/i.test(fields[0]!) && Number.isNaN(Number(fields.at(-1)))
}

function judgment(fields: readonly string[], place: () => string): Judgment {
  if (fields.length === 3) return { query: fields[0]!, document: fields[1]!, grade: gradeOf(fields[2], place), place }
  // The second is the number of an iteration, which nobody uses.
  if (fields.length === 4) return { query: fields[0]!, document: fields[2]!, grade: gradeOf(fields[3], place), place }
  throw invalidData(
    `Expected a query, a document and a grade, or the four fields of TREC, in ${place()} but found ${fields.length}` +
      ' fields',
  )
}

function gradeOf(given: unknown, place: () => string): number {
  const grade = typeof given === 'string' && given.trim() !== '' ? Number(given) : given
  if (typeof grade === 'number' && Number.isFinite(grade)) return grade
  throw invalidData(`Expected a number for the grade in ${place()} but found ${show(given)}`)
}
