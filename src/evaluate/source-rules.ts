/** Rules of options that name data: texts and judgments by id, runs, quotes. */
import { types } from 'node:util'
import { invalidOption, only } from '../core/options.js'
import type { RunScores } from './run-types.js'
import type { RelevantDocs, TextsById } from './types.js'

const filled = (value: unknown): boolean => typeof value === 'string' && value !== ''
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

export const tableRule = only<string | readonly unknown[]>('the path of a file or a list of rows', (value) => {
  return filled(value) || Array.isArray(value)
})

export const textsByIdRule = only<TextsById>(
  'texts by id (the path of a file, a Map, an object or a list of rows)',
  (value) => filled(value) || (isObject(value) && !ArrayBuffer.isView(value)),
)

const byId = (value: unknown): boolean =>
  filled(value) || types.isMap(value) || (isObject(value) && !Array.isArray(value) && !ArrayBuffer.isView(value))

export const relevantDocsRule = only<RelevantDocs>(
  'the relevant documents of each query (the path of a file, a Map or an object)',
  byId,
)
export const runScoresRule = only<string | RunScores>(
  'scores of documents by query (the path of a TREC run, a Map or an object)',
  byId,
)

export function quoteOf(given: string | undefined): string | null {
  if (given === 'none') return null
  if (given !== undefined && [...given].length !== 1) throw invalidOption('quote', "one character or 'none'", given)
  return given ?? '"'
}
