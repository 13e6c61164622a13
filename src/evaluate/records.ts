/**
 * The records of a data file, in groups as they arrive: the objects of .jsonl, the fields of .csv and .tsv, the lines
 * of others. Each has the number of its line.
 */
import { CsvError, parse } from 'csv-parse'
import { extname } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { reason, show } from '../core/show.js'
import { type DataFile, invalidData } from './data-file.js'

export interface At<T> {
  /** From 1. Of a record over several lines, the last. */
  line: number
  value: T
}
export type JsonObject = Readonly<Record<string, unknown>>

export type FileFormat = 'jsonl' | 'csv' | 'tsv'
const FORMATS: Readonly<Record<string, FileFormat>> = {
  '.jsonl': 'jsonl',
  '.ndjson': 'jsonl',
  '.csv': 'csv',
  '.tsv': 'tsv',
}

/** By the name of the file; null if it says nothing. */
export function formatOf(file: DataFile): FileFormat | null {
  return FORMATS[extname(file.plainName).toLowerCase()] ?? null
}

export function unknownFormat(file: DataFile): Error {
  return invalidData(`Expected a .jsonl, .csv or .tsv file but received ${file.path}`)
}

/** Records passed on together, so that none waits for long and the loop is free in between. */
const GROUP = 512

/** The lines, without their ends; empty ones too. */
export async function* readLines(file: DataFile, signal: AbortSignal): AsyncGenerator<At<string>[]> {
  for await (const { text, line } of file.blocks(signal)) {
    const lines = text.split('\n')
    if (lines.at(-1) === '') lines.pop()
    for (let start = 0; start < lines.length; start += GROUP)
      yield lines.slice(start, start + GROUP).map((value, i) => ({
        line: line + start + i,
        value: value.endsWith('\r') ? value.slice(0, -1) : value,
      }))
  }
}

/** One object a line; blank lines are passed over. */
export async function* readJsonLines(file: DataFile, signal: AbortSignal): AsyncGenerator<At<JsonObject>[]> {
  for await (const lines of readLines(file, signal)) {
    const filled = lines.filter(({ value }) => value.trim() !== '')
    yield filled.map(({ line, value }) => ({ line, value: objectOf(value, line, file) }))
  }
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

/** The fields of each record; blank lines are passed over, and a record of another length than the first is refused. */
export async function* readFields(
  file: DataFile,
  { delimiter, quote }: { delimiter: string; quote: string | null },
  signal: AbortSignal,
): AsyncGenerator<At<string[]>[]> {
  const parser = parse({ delimiter, quote, escape: quote, info: true, skip_empty_lines: true })
  async function* texts(): AsyncGenerator<string> {
    for await (const { text } of file.blocks(signal)) yield text
  }
  // A failure of the file reaches the loop below through the parser, which pipeline destroys.
  const feeding = pipeline(texts, parser).catch(() => undefined)
  let group: At<string[]>[] = []
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: { lines: number } }>) {
      group.push({ line: info.lines, value: record })
      if (group.length < GROUP) continue
      yield group
      group = []
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error
    const { lines } = error as CsvError & { lines?: number }
    const advice = /QUOTE/.test(error.code) ? "; where quotes are ordinary characters, use quote: 'none'" : ''
    throw invalidData(`Cannot read line ${lines ?? '?'} of ${file.path}: ${error.message}${advice}`, error)
  } finally {
    parser.destroy()
    await feeding
  }
  if (group.length > 0) yield group
}
