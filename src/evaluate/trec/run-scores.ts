/** The scores that a system gave to documents: a TREC run file, or scores in memory. */
import { types } from 'node:util'
import { show } from '../../core/show.js'
import { DataFile, invalidData } from '../../data/data-file.js'
import { readLines } from '../../data/file-records.js'
import type { Slices } from '../slices.js'
import { guarded, idOf } from '../texts-by-id.js'
import type { RunScores } from '../run-types.js'

/** Documents with their scores, in the order of the source. */
export interface Retrieved {
  ids: string[]
  scores: number[]
}

export interface Run {
  /** Of a file, that of its last line; null in memory. */
  id: string | null
  queries: Map<string, Retrieved>
}

/**
 * Reads a run. Lines are `query iteration document rank score id`, parted by blanks; the iteration, the rank and what
 * follows the id are ignored, blank lines and lines that begin with # are passed over.
 * @throws ERR_EMBEDCORE_INVALID_DATA for a line of fewer fields, a score that is not finite (trec_eval takes it
 *   for 0), and a document that a query has twice.
 */
export async function readRun(source: string | RunScores, signal: AbortSignal, slices: Slices): Promise<Run> {
  if (typeof source !== 'string') return { id: null, queries: await inMemory(source, slices) }
  const file = await DataFile.open(source)
  const run: Run = { id: null, queries: new Map() }
  const distinct = new Distinct()
  for await (const group of readLines(file, signal)) {
    if (slices.over) await slices.next()
    for (const { line, value } of group) {
      if (value.startsWith('#')) continue
      const place = (): string => `line ${line} of ${file.path}`
      const fields = value.trim().split(/\s+/)
      if (fields.length < 6)
        throw invalidData(
          `Expected the six fields of TREC (query Q0 document rank score run) in ${place()} ` +
            `but found ${fields.length}: ${show(value)}`,
        )
      const [query, , document, , score, id] = fields as [string, string, string, string, string, string]
      distinct.check(query, document, place)
      add(run.queries, query, document, scoreOf(score, place))
      run.id = id
    }
  }
  return run
}

function add(queries: Run['queries'], query: string, document: string, score: number): void {
  const known = queries.get(query)
  if (known === undefined) queries.set(query, { ids: [document], scores: [score] })
  else {
    known.ids.push(document)
    known.scores.push(score)
  }
}

function scoreOf(text: string, place: () => string): number {
  const score = Number(text)
  if (Number.isFinite(score)) return score
  throw invalidData(`Expected a number for the score in ${place()} but found ${show(text)}`)
}

/** Refuses a document that a query has twice. */
class Distinct {
  private readonly seen = new Map<string, Set<string>>()

  check(query: string, document: string, place: () => string): void {
    let documents = this.seen.get(query)
    if (documents === undefined) this.seen.set(query, (documents = new Set()))
    if (documents.has(document))
      throw invalidData(
        `Expected every document once for a query but found ${show(document)} again for ${show(query)} in ${place()}`,
      )
    documents.add(document)
  }
}

async function inMemory(source: RunScores, slices: Slices): Promise<Run['queries']> {
  const queries: Run['queries'] = new Map()
  for (const [query, documents] of entriesOf(source, () => 'run')) {
    if (slices.over) await slices.next()
    const place = (): string => `the run of the query ${show(query)}`
    if (typeof documents !== 'object' || documents === null)
      throw invalidData(`Expected scores by document in ${place()} but found ${show(documents)}`)
    for (const [document, score] of entriesOf(documents, place)) {
      if (typeof score !== 'number' || !Number.isFinite(score))
        throw invalidData(`Expected a number for ${show(document)} in ${place()} but found ${show(score)}`)
      add(queries, query, document, score)
    }
  }
  return queries
}

function entriesOf(source: object, what: () => string): (readonly [string, unknown])[] {
  const entries = types.isMap(source)
    ? guarded(what, () => [...source]).map(([id, value]) => [idOf(id, what), value as unknown] as const)
    : guarded(what, () => Object.entries(source))
  if (new Set(entries.map(([id]) => id)).size === entries.length) return entries
  const again = entries.find(([id], i) => entries.findIndex(([other]) => other === id) < i)!
  throw invalidData(`Expected every id once in ${what()} but found ${show(again[0])} again`)
}
