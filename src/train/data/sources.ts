/** What a caller gives as data, read and checked: one source or several by name. */
import { EmbedCoreError } from '../../core/errors.js'
import { type Checked, checkOptions, integer, invalidOption, oneOf, type Rule } from '../../core/options.js'
import { nearest, reason, show } from '../../core/show.js'
import { COLUMN_NAMES, isColumnName } from './columns.js'
import type { TrainingRow } from './rows.js'

export const FILE_FORMATS = ['jsonl', 'csv', 'tsv', 'parquet'] as const
/** How a file is written; from its name where it is not said. `.json` counts as lines of JSON; `.gz` may follow. */
export type FileFormat = (typeof FILE_FORMATS)[number]

type Rows = Iterable<TrainingRow> | AsyncIterable<TrainingRow>
/** Rows that are read once per epoch; of a function, what it returns is. */
export type RowStreamSource = Rows | (() => Rows | Promise<Rows>)

/** Prompts by column (`anchor`, `positive`, `negative` for all negatives, …), or one for all columns. */
export type Prompts = string | Readonly<Record<string, string>>

/** A source with options. It has a `path` or `rows`. */
export interface SourceOptions {
  /** A file, or the files that are the parts of one. */
  path?: string | readonly string[]
  rows?: readonly TrainingRow[] | RowStreamSource
  /** Default: by the name of the file. */
  format?: FileFormat
  /**
   * The column of the source for each of our names, such as `{ anchor: 'title', positive: 'description' }`; other
   * columns are not used. For csv and tsv also the list of all names, where the file has no header.
   */
  columns?: Readonly<Record<string, string>> | readonly string[]
  /** Of csv and tsv. Default `','` and a tab. */
  delimiter?: string
  /** Of csv and tsv; null = quotes are ordinary characters. Default `'"'`. */
  quote?: string | null
  /** Put before the texts of a column; each takes the place of that of the call. */
  prompts?: Prompts
  /** How often batches of this source are drawn under `mixing: 'weighted'`. Default 1. */
  weight?: number
  /** Of FlagEmbedding rows: negatives drawn per row. Default 7 (a `train_group_size` of 8). */
  negatives?: number
}

export type TrainingSource = string | readonly TrainingRow[] | RowStreamSource | SourceOptions
/** One source, or several by name. */
export type TrainingSources = TrainingSource | Readonly<Record<string, TrainingSource>>

export interface CheckedSource {
  name: string
  from: { paths: string[] } | { records: readonly unknown[] } | { stream: RowStreamSource }
  format: FileFormat | null
  /** Our names to those of the source; null = found by their names. */
  mapping: ReadonlyMap<string, string[]> | null
  header: string[] | null
  delimiter: string | null
  quote: string | null
  prompts: Prompts | null
  weight: number
  negatives: number
}

/** A value that a rule of `checkOptions` cannot express, because others decide what it may be. */
function checked<T>(name: string, expected: string, value: unknown, accepts: (value: unknown) => boolean): T {
  if (!accepts(value)) throw invalidOption(name, expected, value)
  return value as T
}

const isCharacter = (value: unknown): boolean => typeof value === 'string' && /^[\t\x20-\x7e]$/.test(value)
const isTextRecord = (value: unknown): value is Record<string, string> =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  Object.values(value).every((item) => typeof item === 'string')

/** Any value; it is checked where more is known. */
const any: Rule<unknown> = { expected: 'a value', read: (value) => value }

const RULES = {
  path: any,
  rows: any,
  format: oneOf(...FILE_FORMATS),
  columns: any,
  delimiter: any,
  quote: any,
  prompts: any,
  weight: any,
  negatives: integer(0, 1024),
}

export const DEFAULT_NEGATIVES = 7

/** @throws ERR_EMBEDCORE_INVALID_OPTION, also when reading the data throws; _UNKNOWN_OPTION */
export function checkSources(data: unknown): CheckedSource[] {
  try {
    return checkEach(data)
  } catch (error) {
    throw error instanceof EmbedCoreError ? error : unreadable(error)
  }
}

function checkEach(data: unknown): CheckedSource[] {
  if (isSource(data)) return [checkSource(data, null)]
  if (typeof data !== 'object' || data === null || ArrayBuffer.isView(data)) throw notData('data', data)
  const names = Object.keys(data)
  if (names.length === 0) throw notData('data', data)
  // A misspelt option of one source looks like the name of a source.
  const slip = names.find((name) => nearest(name, ['path', 'rows']) !== null)
  if (slip !== undefined && names.some((name) => Object.hasOwn(RULES, name))) checkOptions(data, RULES) // throws
  return names.map((name) => {
    const source = (data as Record<string, unknown>)[name]
    if (!isSource(source)) throw notData(`data.${name}`, source)
    return checkSource(source, name)
  })
}

function notData(name: string, value: unknown): EmbedCoreError {
  return invalidOption(
    name,
    'the path of a file, rows, an iterable of rows, { path } or { rows } with options, or several of these by name',
    value,
  )
}

function unreadable(error: unknown): EmbedCoreError {
  return new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `Reading data failed: ${reason(error)}`, { cause: error })
}

function isSource(value: unknown): boolean {
  if (typeof value === 'string' || typeof value === 'function' || Array.isArray(value)) return true
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return false
  return isIterable(value) || Object.hasOwn(value, 'path') || Object.hasOwn(value, 'rows')
}

function isIterable(value: unknown): boolean {
  const { [Symbol.asyncIterator]: asynchronous, [Symbol.iterator]: synchronous } = Object(value) as Partial<
    AsyncIterable<unknown> & Iterable<unknown>
  >
  return typeof asynchronous === 'function' || typeof synchronous === 'function'
}

function checkSource(source: unknown, name: string | null): CheckedSource {
  const plain = typeof source === 'object' && source !== null && !Array.isArray(source) && !isIterable(source)
  const given: Checked<typeof RULES> = plain
    ? checkOptions(source, RULES)
    : typeof source === 'string'
      ? { path: source }
      : { rows: source }
  if ((given.path === undefined) === (given.rows === undefined))
    throw invalidOption(name === null ? 'data' : `data.${name}`, 'either path or rows', source)
  const from = given.path === undefined ? checkRows(given.rows) : { paths: checkPaths(given.path) }
  const { mapping, header } = checkColumns(given.columns)
  if (!('paths' in from))
    for (const option of ['format', 'delimiter', 'quote'] as const)
      if (given[option] !== undefined)
        throw invalidOption(option, 'nothing beside rows (it is for files)', given[option])
  if (header !== null && !('paths' in from))
    throw invalidOption('columns', 'the column of the source for each name (a list of names is for files)', header)
  return {
    name: name ?? ('paths' in from ? from.paths[0]! : 'rows'),
    from,
    format: given.format ?? null,
    mapping,
    header,
    delimiter:
      given.delimiter === undefined
        ? null
        : checked(
            'delimiter',
            'one character (ASCII)',
            given.delimiter,
            (value) => isCharacter(value) && value !== '"',
          ),
    quote:
      given.quote === undefined
        ? '"'
        : checked(
            'quote',
            'one character (ASCII) or null',
            given.quote,
            (value) => value === null || isCharacter(value),
          ),
    prompts: checkPrompts(given.prompts),
    weight: checked<number>(
      'weight',
      'a number above 0',
      given.weight === undefined ? 1 : given.weight,
      (value) => typeof value === 'number' && value > 0 && Number.isFinite(value),
    ),
    negatives: given.negatives ?? DEFAULT_NEGATIVES,
  }
}

function checkPaths(path: unknown): string[] {
  const list: readonly unknown[] = Array.isArray(path) ? path : [path]
  if (list.length === 0 || !list.every((item) => typeof item === 'string' && item !== ''))
    throw invalidOption('path', 'the path of a file, or a list of them', path)
  return [...(list as string[])]
}

function checkRows(rows: unknown): CheckedSource['from'] {
  if (Array.isArray(rows)) {
    if (rows.length > 0 && rows.every((row) => typeof row === 'string'))
      throw invalidOption('data', "rows such as { sentence: 'a text' }, or { path: […] } for files,", rows[0])
    return { records: [...(rows as unknown[])] }
  }
  if (typeof rows !== 'function' && (typeof rows === 'string' || !isIterable(rows)))
    throw invalidOption('rows', 'a list or an iterable of rows, or a function that returns one', rows)
  return { stream: rows as RowStreamSource }
}

function checkColumns(columns: unknown): Pick<CheckedSource, 'mapping' | 'header'> {
  if (columns === undefined) return { mapping: null, header: null }
  if (Array.isArray(columns)) {
    if (
      columns.length === 0 ||
      !columns.every((name) => typeof name === 'string') ||
      new Set(columns).size < columns.length
    )
      throw invalidOption('columns', 'a list of different names', columns)
    return { mapping: null, header: [...(columns as string[])] }
  }
  if (!isTextRecord(columns) || Object.keys(columns).length === 0)
    throw invalidOption('columns', "an object such as { anchor: 'title' }, or a list of names", columns)
  const mapping = new Map<string, string[]>()
  for (const [ours, theirs] of Object.entries(columns)) {
    if (!isColumnName(ours)) {
      const near = nearest(ours, COLUMN_NAMES)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_UNKNOWN_OPTION',
        `Expected a known column in columns but received ${show(ours)}; ` +
          (near === null ? `known are ${COLUMN_NAMES.join(', ')}` : `did you mean ${show(near)}?`),
      )
    }
    mapping.set(ours, [theirs])
  }
  return { mapping, header: null }
}

/** Prompts of a call or a source; null = none. */
export function checkPrompts(prompts: unknown): Prompts | null {
  if (prompts === undefined) return null
  if (typeof prompts === 'string') return prompts
  if (!isTextRecord(prompts)) throw invalidOption('prompts', 'a string, or a string for each column', prompts)
  return { ...prompts }
}
