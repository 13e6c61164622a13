/**
 * The source of a command's texts (arguments, a file or standard input, by the flags), and how they are grouped in
 * batches.
 */
import { extname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { booleanOf, choiceOf, refuseBoth, stringOf, type Arguments, type Flags } from '../arguments.js'
import type { CliIO } from '../contract.js'
import { UsageError } from '../failures.js'
import { openFile, openStdin } from './bytes.js'
import { readDelimited } from './delimited.js'
import { readJsonLines, readLines } from './lines.js'

const FORMATS = ['txt', 'jsonl', 'csv', 'tsv'] as const
type Format = (typeof FORMATS)[number]
const EXTENSIONS: Readonly<Record<string, Format>> = {
  '.txt': 'txt',
  '.jsonl': 'jsonl',
  '.ndjson': 'jsonl',
  '.csv': 'csv',
  '.tsv': 'tsv',
}

export const FILE_FLAGS = {
  file: {
    type: 'string',
    short: 'f',
    value: 'FILE',
    help: '.txt (a text a line), .jsonl, .csv or .tsv; - = standard input',
  },
  'input-format': { type: 'string', value: 'FORMAT', help: 'txt, jsonl, csv or tsv, where the name does not tell' },
  delimiter: { type: 'string', value: 'CHAR', help: 'csv, tsv: what parts the columns' },
  quote: { type: 'string', value: 'CHAR', help: `csv, tsv: the quote character, or none (default ")` },
  header: { type: 'boolean', help: 'csv, tsv: the first row is a header, also where columns are numbers' },
} as const satisfies Flags

export interface TextSource {
  /** Groups of rows as they arrive; a row holds the selected fields. */
  groups: AsyncIterable<readonly (readonly string[])[]>
  /** Total number of texts, if known. */
  count: number | null
  /** Share of the input read so far, 0 to 1; null when its size is not known. */
  share(): number | null
  /** Rows arrive slowly (a pipe), so they must not wait for a full batch. */
  live: boolean
}

export function textsOfArguments(texts: readonly string[]): TextSource {
  const rows = texts.map((text) => [text])
  return {
    groups: (async function* () {
      yield rows
    })(),
    count: rows.length,
    share: () => null,
    live: false,
  }
}

/**
 * `columns`: the selected columns of csv and tsv (null = see `readDelimited`). `fields`: those of jsonl. Their number
 * is the length of a row.
 */
export async function openTexts(
  args: Arguments,
  io: CliIO,
  signal: AbortSignal,
  { columns, fields }: { columns: readonly string[] | null; fields: readonly string[] },
): Promise<TextSource> {
  refuseBoth(args, 'column', 'field')
  const path = stringOf(args, 'file')
  const fromStdin = path === undefined || path === '-'
  const format = choiceOf(args, 'input-format', FORMATS) ?? (fromStdin ? 'txt' : formatOf(path, args.topic))
  checkFlagsFit(args, format, fields.length)
  const source = fromStdin ? openStdin(io.stdin, signal) : await openFile(path, signal)
  const { size } = source
  return {
    groups: rowsOf(),
    count: null,
    share: () => (size === null || size === 0 ? null : Math.min(1, source.bytesRead / size)),
    live: size === null,
  }

  async function* rowsOf(): AsyncGenerator<string[][]> {
    if (format === 'txt') {
      for await (const lines of readLines(source)) yield lines.map((line) => [line])
    } else if (format === 'jsonl') yield* readJsonLines(source, fields)
    else {
      const quote = stringOf(args, 'quote') ?? '"'
      yield* readDelimited(source, {
        delimiter: stringOf(args, 'delimiter')?.replace('\\t', '\t') ?? (format === 'csv' ? ',' : '\t'),
        quote: quote === 'none' || quote === '' ? null : quote,
        columns,
        header: booleanOf(args, 'header'),
      })
    }
  }
}

function formatOf(path: string, topic: string): Format {
  const extension = extname(path).toLowerCase()
  const format = EXTENSIONS[extension]
  if (format !== undefined) return format
  throw new UsageError(
    `cannot tell the format of ${path} from its name; say it with --input-format ${FORMATS.join('|')}`,
    topic,
  )
}

/** Refuses a flag that would have no effect, because it is a misunderstanding. */
function checkFlagsFit(args: Arguments, format: Format, fieldCount: number): void {
  const delimited = format === 'csv' || format === 'tsv'
  for (const flag of ['column', 'delimiter', 'quote', 'header']) {
    if (args.values[flag] !== undefined && !delimited)
      throw new UsageError(`--${flag} is for csv and tsv, but the input is ${format}`, args.topic)
  }
  if (args.values.field !== undefined && format !== 'jsonl')
    throw new UsageError(`--field is for jsonl, but the input is ${format}`, args.topic)
  if (format === 'txt' && fieldCount > 1)
    throw new UsageError(
      'pairs come from csv, tsv or jsonl; plain text has one text a line (for two parted by a tab: --input-format tsv)',
      args.topic,
    )
  for (const flag of ['delimiter', 'quote']) {
    const given = stringOf(args, flag)
    if (
      given !== undefined &&
      [...given].length !== 1 &&
      given !== '\\t' &&
      !(flag === 'quote' && (given === 'none' || given === ''))
    ) {
      throw new UsageError(`--${flag} is one character, but ${JSON.stringify(given)} was given`, args.topic)
    }
  }
}

export interface Batch {
  rows: readonly (readonly string[])[]
  /** Index of the first row in the whole input. */
  start: number
  /** Share of the input read when this batch was full. */
  share: number | null
}

/** How long rows of a slow source wait for more rows. */
const LINGER_MS = 50

/** Batches of `size` rows; the first may be made larger. */
export async function* batchesOf(source: TextSource, size: number, firstSize = size): AsyncGenerator<Batch> {
  const iterator = source.groups[Symbol.asyncIterator]()
  let held: (readonly string[])[] = []
  let start = 0
  let want = firstSize
  const take = (): Batch => {
    const rows = held.slice(0, want)
    held = held.slice(want)
    const batch = { rows, start, share: source.share() }
    start += rows.length
    want = size
    return batch
  }
  // A first batch of another size (calibration) is not cut short, because it determines the ranges of all later ones.
  const mayFlush = () => source.live && (start > 0 || firstSize === size)
  for (;;) {
    const next = iterator.next()
    if (held.length > 0 && mayFlush()) {
      const cancel = new AbortController()
      const waited = delay(LINGER_MS, 'waited' as const, { signal: cancel.signal }).catch(() => 'waited' as const)
      next.catch(() => undefined)
      const first = await Promise.race([next, waited]).finally(() => cancel.abort())
      if (first === 'waited') yield take()
    }
    const { done, value } = await next
    if (done === true) break
    for (const row of value) held.push(row)
    while (held.length >= want) yield take()
  }
  while (held.length > 0) yield take()
}
