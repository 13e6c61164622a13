/**
 * The records of a data file, in groups as they arrive: the objects of .jsonl and .parquet, the fields of .csv and
 * .tsv, the lines of others. Each has the number of its line. The first record that is wrong ends the reading.
 */
import { open } from 'node:fs/promises'
import { extname } from 'node:path'
import { EmbedCoreError } from '../core/errors.js'
import { reason, show } from '../core/show.js'
import { type DataFile, invalidData, unreadable } from './data-file.js'
import { type Dialect, endOfRow, splitRow } from './delimited.js'
import { parquetRows } from './parquet.js'
import { endOfLine, type RecordEnd, scanRecords } from './records.js'

export interface At<T> {
  /** From 1. Of a record over several lines, the first; of parquet, the number of the row. */
  line: number
  value: T
}
export type JsonObject = Readonly<Record<string, unknown>>

export type FileFormat = 'jsonl' | 'csv' | 'tsv' | 'parquet'
const FORMATS: Readonly<Record<string, FileFormat>> = {
  '.jsonl': 'jsonl',
  '.ndjson': 'jsonl',
  '.csv': 'csv',
  '.tsv': 'tsv',
  '.parquet': 'parquet',
}

/** By the name of the file; null if it says nothing. */
export function formatOf(file: DataFile): FileFormat | null {
  return FORMATS[extname(file.plainName).toLowerCase()] ?? null
}

export function unknownFormat(file: DataFile): Error {
  return invalidData(`Expected a .jsonl, .csv, .tsv or .parquet file but received ${file.path}`)
}

/** Records passed on together, so that none waits for long and the loop is free in between. */
const GROUP = 512

/** The records as texts without their line ends; blank lines are passed over. */
function readTexts(file: DataFile, recordEnd: RecordEnd, signal: AbortSignal): AsyncGenerator<At<string>[]> {
  return file.read(signal, async function* (read) {
    for await (const records of scanRecords(read, recordEnd, signal)) {
      for (let start = 0; start < records.length; start += GROUP)
        yield records.slice(start, start + GROUP).map(({ line, text, wrong, wrongLine }) => {
          if (text === null)
            throw invalidData(
              /UTF-8/.test(wrong)
                ? `Expected UTF-8 in line ${wrongLine} of ${file.path} but found other bytes`
                : `Cannot read line ${line} of ${file.path}: it ${wrong}`,
            )
          return { line, value: text }
        })
    }
  })
}

export function readLines(file: DataFile, signal: AbortSignal): AsyncGenerator<At<string>[]> {
  return readTexts(file, endOfLine, signal)
}

/** One object a line, or a row. */
export async function* readObjects(
  file: DataFile,
  format: 'jsonl' | 'parquet',
  signal: AbortSignal,
): AsyncGenerator<At<JsonObject>[]> {
  if (format === 'parquet') return yield* readParquet(file)
  for await (const lines of readLines(file, signal))
    yield lines.map(({ line, value }) => ({ line, value: objectOf(value, line, file) }))
}

async function* readParquet(file: DataFile): AsyncGenerator<At<JsonObject>[]> {
  if (file.path !== file.plainName) throw invalidData(`Expected parquet, packed in itself, for ${file.path}`)
  const handle = await open(file.path).catch((error: unknown) => {
    throw unreadable(file.path, error)
  })
  try {
    let line = 1
    for await (const rows of parquetRows(handle, file.path)) {
      for (let start = 0; start < rows.length; start += GROUP)
        yield rows.slice(start, start + GROUP).map((value) => ({ line: line++, value: withNumbers(value) }))
    }
  } catch (error) {
    throw error instanceof EmbedCoreError ? invalidData(error.message, error) : error
  } finally {
    await handle.close()
  }
}

/** 64-bit integers, which parquet has for labels and scores, as numbers; those that are not exact stay. */
function withNumbers(row: Record<string, unknown>): JsonObject {
  const convert = (value: unknown): unknown =>
    typeof value === 'bigint' && Number.isSafeInteger(Number(value))
      ? Number(value)
      : Array.isArray(value)
        ? value.map(convert)
        : value
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, convert(value)]))
}

function objectOf(text: string, line: number, file: DataFile): JsonObject {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw invalidData(`Expected JSON in line ${line} of ${file.path} but found ${show(text)}: ${reason(error)}`, error)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalidData(`Expected a JSON object in line ${line} of ${file.path} but found ${show(value)}`)
  return value as JsonObject
}

/** The fields of each record; a record of another length than the first is refused. */
export async function* readFields(
  file: DataFile,
  dialect: Dialect,
  signal: AbortSignal,
): AsyncGenerator<At<string[]>[]> {
  let count: number | null = null
  for await (const group of readTexts(file, endOfRow(dialect), signal)) {
    yield group.map(({ line, value }) => {
      const fields = splitRow(value, dialect)
      if (typeof fields === 'string')
        throw invalidData(
          `Cannot read line ${line} of ${file.path}: it ${fields}` +
            "; where quotes are ordinary characters, use quote: 'none'",
        )
      count ??= fields.length
      if (fields.length !== count)
        throw invalidData(
          `Cannot read line ${line} of ${file.path}: it has ${fields.length} fields, not ${count} as the first record`,
        )
      return { line, value: fields }
    })
  }
}
