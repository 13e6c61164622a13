/**
 * Opens training data: every source is read once from beginning to end, so that its format, its rows and its bad rows
 * are known before the first step. Rows in an iterable are the exception; they are read as the steps need them.
 */
import { open, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { abortError } from '../../core/abort.js'
import { EmbedCoreError } from '../../core/errors.js'
import { reason, show } from '../../core/show.js'
import { MOST_ROWS } from '../../core/random.js'
import { BadRows, type BadRowPolicy, type BadRowReport } from './bad-rows.js'
import { type DataFormat, describeFormat, detectFormat } from './columns.js'
import type { Choice } from './choice.js'
import { type Dictionaries, FactCollector, type Needs, newDictionaries, NOTHING, type RowFacts } from './facts.js'
import { delimitedSyntax, FileRows, jsonSyntax } from './file-rows.js'
import { isRecord, MemoryRows } from './memory-rows.js'
import { type RawRecord, RowParser } from './parse-row.js'
import { checkPrompts, type Prompts } from './sources.js'
import { columnPrompts, refuseUnknownPrompts } from './prompts.js'
import { JoinedRows, type RowSet } from './row-set.js'
import type { Row } from './rows.js'
import { type CheckedSource, checkSources, type FileFormat, type TrainingSources } from './sources.js'
import { RowStream } from './stream-rows.js'
import { unpackGzip, unpackParquet } from './unpack.js'

export interface OpenOptions {
  /** Default `'error'`. */
  onBadRow?: BadRowPolicy
  prompts?: Prompts
  /** Facts that samplers and masks need. Default: none. */
  needs?: Partial<Needs>
  /** Of the draws from FlagEmbedding rows. Default 0. */
  seed?: number
  /** Negatives drawn per FlagEmbedding row, whatever the sources say. */
  negatives?: number
  /** Where packed files are unpacked. Default: that of the system. */
  tmpDir?: string | null
  signal?: AbortSignal | null
  onProgress?: ((progress: DataProgress) => void) | null
}

/** While a file is read for the first time. */
export interface DataProgress {
  source: string
  rows: number
  /** Of the file, unpacked. */
  bytes: number
  totalBytes: number
}

/** One source, open. */
export interface OpenSource {
  readonly name: string
  readonly format: DataFormat
  /** Null = the rows come from an iterable. */
  readonly rows: RowSet | null
  readonly stream: RowStream | null
  readonly weight: number
  /** One per column of the format; empty = none. */
  readonly prompts: readonly string[]
  /** Of flag-embedding; null = all texts of a row are used. */
  readonly choice: Choice | null
  /** Changes when the data do: number of rows and bytes. */
  readonly identity: string
}

/** Training data, open. */
export class TrainingData {
  constructor(
    readonly sources: readonly OpenSource[],
    readonly dictionaries: Dictionaries,
    private readonly bad: BadRows,
  ) {}

  /** Rows that were left out so far; of an iterable the number grows while it is read. */
  get badRows(): BadRowReport {
    return { count: this.bad.count, first: [...this.bad.first] }
  }

  /** Rows of all sources; null = an iterable is among them. */
  get count(): number | null {
    let count = 0
    for (const { rows } of this.sources) {
      if (rows === null) return null
      count += rows.facts.count
    }
    return count
  }

  /** What was detected, a line a source: `pairs.jsonl: 120 rows; pairs: anchor, positive`. */
  describe(): string[] {
    return this.sources.map(({ name, rows, format }) => {
      const count = rows === null ? 'rows of an iterable' : `${rows.facts.count} rows`
      return `${name}: ${count}; ${describeFormat(format)}`
    })
  }

  async close(): Promise<void> {
    await Promise.all(this.sources.map(({ rows, stream }) => rows?.close() ?? stream?.close()))
  }
}

/**
 * @throws ERR_EMBEDCORE_INVALID_OPTION, _UNKNOWN_OPTION; _NOT_FOUND, _INVALID_FILE for a file that cannot be read;
 *   _INVALID_DATA with file and line when the columns have no known form, a row cannot be used (`onBadRow: 'error'`),
 *   or no row is left; _ABORTED.
 */
export async function openData(data: TrainingSources, options: OpenOptions = {}): Promise<TrainingData> {
  const checked = checkSources(data)
  const opening = new Opening(options)
  const sources: OpenSource[] = []
  try {
    for (const [number, source] of checked.entries()) sources.push(await opening.source(source, number))
    opening.bad.settle()
    refuseUnknownPrompts(opening.prompts, sources)
  } catch (error) {
    await Promise.all(sources.map(({ rows, stream }) => rows?.close() ?? stream?.close()))
    throw error
  }
  if (opening.bad.count > 0)
    process.emitWarning(`${opening.bad.count} rows of the data were left out: ${opening.bad.summary()}`, {
      code: 'EMBEDCORE_SKIPPED_ROWS',
    })
  return new TrainingData(sources, opening.dictionaries, opening.bad)
}

const EXTENSIONS: Readonly<Record<string, FileFormat>> = {
  '.jsonl': 'jsonl',
  '.ndjson': 'jsonl',
  '.json': 'jsonl',
  '.csv': 'csv',
  '.tsv': 'tsv',
  '.parquet': 'parquet',
}

interface OpenPart {
  rows: Omit<RowSet, 'facts'>
  count: number
  bytes: number
}

class Opening {
  readonly dictionaries = newDictionaries()
  readonly bad: BadRows
  readonly prompts: Prompts | null
  private readonly signal: AbortSignal | null

  constructor(private readonly options: OpenOptions) {
    this.bad = new BadRows(options.onBadRow ?? 'error')
    this.prompts = checkPrompts(options.prompts)
    this.signal = options.signal ?? null
  }

  async source(given: CheckedSource, number: number): Promise<OpenSource> {
    const source = { ...given, negatives: this.options.negatives ?? given.negatives }
    const choice: Choice = { seed: this.options.seed ?? 0, source: number, negatives: source.negatives }
    const { from, name } = source
    const finish = (format: DataFormat, opened: Pick<OpenSource, 'rows' | 'stream' | 'identity'>): OpenSource => ({
      ...opened,
      name,
      format,
      weight: source.weight,
      prompts: columnPrompts(format, this.prompts, source.prompts, name),
      choice: format.kind === 'flag-embedding' ? choice : null,
    })
    if ('stream' in from) {
      const begin = (first: RawRecord, place: string): RowParser =>
        new RowParser(this.detect(first, source, place), false, source.mapping === null)
      const { labels, categories, languages } = this.dictionaries
      // Numbered as they are read, so that a resumed run, which reads them again, has the same numbers.
      const number = ({ label, category, language }: Row): void => {
        if (label !== null) labels.number(label)
        if (category !== null) categories.number(category)
        if (language !== null) languages.number(language)
      }
      const stream = await RowStream.open(name, from.stream, begin, number, this.bad, this.signal)
      return finish(stream.format, { rows: null, stream, identity: 'stream' })
    }
    const collect = new Collecting({ ...NOTHING, ...this.options.needs }, this.dictionaries, choice)
    const parts: OpenPart[] = []
    try {
      if ('records' in from) parts.push(...(await this.records(source, from.records, collect)))
      else
        for (const file of from.paths) {
          const part = await this.file(source, file, collect)
          if (part !== null) parts.push(part)
        }
      const count = parts.reduce((sum, part) => sum + part.count, 0)
      if (count === 0) {
        this.bad.settle()
        throw new EmbedCoreError(
          'ERR_EMBEDCORE_INVALID_DATA',
          `Expected rows in ${name} but found none` +
            (this.bad.count > 0 ? ` that can be read: ${this.bad.summary()}` : ''),
        )
      }
      if (count > MOST_ROWS)
        throw new EmbedCoreError(
          'ERR_EMBEDCORE_INVALID_DATA',
          `Expected at most ${MOST_ROWS} rows in ${name} but found ${count}; name its parts as several sources`,
        )
      const rows = new JoinedRows(
        parts.map((part) => part.rows),
        parts.map((part) => part.count),
        collect.facts(),
      )
      const bytes = parts.reduce((sum, part) => sum + part.bytes, 0)
      return finish(rows.format, { rows, stream: null, identity: `${count} rows, ${bytes} bytes` })
    } catch (error) {
      await Promise.all(parts.map((part) => part.rows.close()))
      throw error
    }
  }

  private async records(source: CheckedSource, records: readonly unknown[], collect: Collecting): Promise<OpenPart[]> {
    const { name } = source
    const onBad = (line: number, place: string, why: string): void =>
      this.bad.add({ file: name, line, place, reason: why })
    const at = records.findIndex(isRecord)
    if (at < 0) {
      records.forEach((record, i) => onBad(i, `${name}[${i}]`, `expected an object but found ${show(record)}`))
      return []
    }
    const format = this.detect(records[at] as RawRecord, source, `${name}[${at}]`)
    const parser = new RowParser(format, false, source.mapping === null)
    const add = collect.begin(format)
    const { rows, count } = await MemoryRows.open(name, records, parser, add, onBad)
    return [{ rows, count, bytes: 0 }]
  }

  private async file(source: CheckedSource, file: string, collect: Collecting): Promise<OpenPart | null> {
    const packed = path.extname(file).toLowerCase() === '.gz'
    const extension = path.extname(packed ? file.slice(0, -3) : file).toLowerCase()
    const format = source.format ?? EXTENSIONS[extension]
    if (format === undefined)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_OPTION',
        `Expected a file named .jsonl, .csv, .tsv or .parquet (or with .gz after it), or the option format, ` +
          `but received ${show(file)}`,
      )
    if (format !== 'csv' && format !== 'tsv') refuseDialect(source, format)
    const given = await openFile(file)
    let handle = given
    let remove = async (): Promise<void> => undefined
    try {
      if (packed || format === 'parquet') {
        if (packed && format === 'parquet')
          throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', `Expected parquet, packed in itself, for ${file}`)
        const unpack = packed ? unpackGzip : unpackParquet
        const unpacked = await unpack(given, file, this.options.tmpDir ?? null, this.signal)
        await given.close()
        ;({ handle, remove } = unpacked)
      }
      const { size } = await handle.stat()
      const opened = await this.scan(source, file, format, handle, size, collect, remove)
      if (opened !== null) return { ...opened, bytes: size }
      await handle.close()
      await remove()
      return null
    } catch (error) {
      await handle.close().catch(() => undefined)
      await remove()
      throw error
    }
  }

  private async scan(
    source: CheckedSource,
    file: string,
    format: FileFormat,
    handle: FileHandle,
    size: number,
    collect: Collecting,
    remove: () => Promise<void>,
  ): Promise<Omit<OpenPart, 'bytes'> | null> {
    const delimited = format === 'csv' || format === 'tsv'
    const delimiter = source.delimiter ?? (format === 'csv' ? ',' : '\t')
    const syntax = delimited ? delimitedSyntax({ delimiter, quote: source.quote }, source.header) : jsonSyntax()
    const parquet = format === 'parquet'
    const placeOf = (line: number): string => (parquet ? `row ${line - 1} of ${file}` : `${file}:${line}`)
    let add: ReturnType<Collecting['begin']> | null = null
    let count = 0
    return FileRows.open(
      handle,
      file,
      syntax,
      {
        begin: (first, line) => {
          const detected = this.detect(first, source, placeOf(line))
          add = collect.begin(detected, placeOf(line))
          return new RowParser(detected, delimited, !delimited && source.mapping === null)
        },
        row: (row) => {
          count++
          add!(row)
        },
        bad: (line, why) => this.bad.add({ file, line: parquet ? line - 1 : line, place: placeOf(line), reason: why }),
        progress: (bytes) => this.report({ source: source.name, rows: count, bytes, totalBytes: size }),
      },
      this.signal,
      placeOf,
      remove,
    )
  }

  private detect(first: RawRecord, source: CheckedSource, place: string): DataFormat {
    const detected = detectFormat(first, source.mapping, source.negatives)
    if (!('wrong' in detected)) return detected
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_DATA',
      'Expected columns such as anchor and positive, sentence1, sentence2 and score, or sentence and label ' +
        `at ${place} but found ${detected.wrong}`,
    )
  }

  private report(progress: DataProgress): void {
    try {
      this.options.onProgress?.(progress)
    } catch (error) {
      throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `The call's onProgress threw: ${reason(error)}`, {
        cause: error,
      })
    }
    if (this.signal?.aborted === true) throw abortError(this.signal)
  }
}

/** The facts of the parts of a source, which have one format. */
class Collecting {
  private collector: FactCollector | null = null
  private format: DataFormat | null = null

  constructor(
    private readonly needs: Needs,
    private readonly dictionaries: Dictionaries,
    private readonly choice: Choice,
  ) {}

  begin(format: DataFormat, place = ''): FactCollector['add'] {
    if (this.format !== null && describeFormat(this.format) !== describeFormat(format))
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_DATA',
        `Expected the columns of the first file (${describeFormat(this.format)}) at ${place} ` +
          `but found ${describeFormat(format)}`,
      )
    this.format = format
    const choice = format.kind === 'flag-embedding' ? this.choice : null
    this.collector ??= new FactCollector(this.needs, this.dictionaries, choice)
    const { collector } = this
    return (row) => collector.add(row)
  }

  facts(): RowFacts {
    return this.collector!.finish()
  }
}

async function openFile(file: string): Promise<FileHandle> {
  let handle: FileHandle
  try {
    handle = await open(file, 'r')
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new EmbedCoreError(
      missing ? 'ERR_EMBEDCORE_NOT_FOUND' : 'ERR_EMBEDCORE_INVALID_FILE',
      missing ? `There is no file ${file}` : `Cannot open ${file}: ${reason(error)}`,
      { cause: error },
    )
  }
  const info = await handle.stat()
  if (info.isFile()) return handle
  await handle.close()
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_FILE',
    `Expected a file at ${file} but found ${info.isDirectory() ? 'a directory' : 'something else'}`,
  )
}

/** Options of csv that would have no effect. */
function refuseDialect({ delimiter, quote, header }: CheckedSource, format: FileFormat): void {
  const [name, value] =
    delimiter !== null ? ['delimiter', delimiter] : quote !== '"' ? ['quote', quote] : ['columns', header]
  if (value === null && name === 'columns') return
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_OPTION',
    `Expected nothing for ${name} (${name === 'columns' ? 'a list of names' : 'it'} is for csv and tsv, and the file ` +
      `is ${format}) but received ${show(value)}`,
  )
}
