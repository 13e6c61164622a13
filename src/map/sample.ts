/** The texts of a map: read from the source, and a random sample of those where there are too many. */
import { EmbedCoreError } from '../core/errors.js'
import { invalidOption } from '../core/options.js'
import { Random } from '../core/random.js'
import { show } from '../core/show.js'
import { DataFile } from '../data/data-file.js'
import { formatOf, readLines } from '../data/file-records.js'
import type { Slices } from '../evaluate/slices.js'
import { type Column, openTable } from '../evaluate/table.js'
import { viewsOf } from '../evaluate/views.js'
import { iterated } from '../linear/vector-source.js'

export interface SampledText {
  index: number
  text: string
  label: string | null
}

export interface Sample {
  /** In the order of the source. */
  texts: SampledText[]
  /** Texts of the source. */
  total: number
}

type ColumnName = string | number | undefined

interface SampleOptions {
  column: ColumnName
  labelColumn: ColumnName
  maxPoints: number
  seed: number
  signal: AbortSignal
}

/** Each text has the same chance (reservoir sampling). */
export async function sampleTexts(source: unknown, options: SampleOptions, slices: Slices): Promise<Sample> {
  const random = new Random(options.seed, 'points', 0)
  const texts: SampledText[] = []
  let total = 0
  for await (const group of groupsOf(source, options)) {
    if (slices.over) await slices.next()
    for (const one of group) {
      const place = total < options.maxPoints ? total : random.below(total + 1)
      if (place < options.maxPoints) texts[place] = { index: total, ...one }
      total++
    }
  }
  return { texts: texts.sort((a, b) => a.index - b.index), total }
}

type Labelled = Omit<SampledText, 'index'>

async function* groupsOf(source: unknown, options: SampleOptions): AsyncGenerator<readonly Labelled[]> {
  if (typeof source === 'string') {
    yield* groupsOfFile(source, options)
    return
  }
  for (const name of ['column', 'labelColumn'] as const)
    if (options[name] !== undefined) throw invalidOption(name, 'nothing beside texts in memory', options[name])
  let read = 0
  for await (const item of iterated(source, 'texts')) yield [labelled(item, read++)]
}

function labelled(item: unknown, index: number): Labelled {
  if (typeof item === 'string') return { text: item, label: null }
  const { text, label } = (typeof item === 'object' && item !== null ? item : {}) as { text?: unknown; label?: unknown }
  if (typeof text === 'string' && (label === undefined || typeof label === 'string'))
    return { text, label: label ?? null }
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_TEXT',
    `Expected a string, or { text, label } of strings, for text ${index} but received ${show(item)}`,
  )
}

const TEXT: Column = { name: 'text', also: ['sentence', 'sentence1', 'sentences'], type: 'text' }

async function* groupsOfFile(
  path: string,
  { column, labelColumn, signal }: SampleOptions,
): AsyncGenerator<readonly Labelled[]> {
  const file = await DataFile.open(path)
  if (formatOf(file) === null) {
    for (const [name, value] of Object.entries({ column, labelColumn }))
      if (value !== undefined)
        throw invalidOption(name, `nothing for ${path} (only .csv, .tsv, .jsonl and .parquet have columns)`, value)
    for await (const lines of readLines(file, signal)) yield lines.map(({ value }) => ({ text: value, label: null }))
    return
  }
  const own: Column[] = column === undefined ? [TEXT] : [{ name: String(column), type: 'text' }]
  if (labelColumn !== undefined) own.push({ name: String(labelColumn), type: 'label' })
  const columns =
    labelColumn === undefined ? (column === undefined ? null : [column]) : [column ?? TEXT.name, labelColumn]
  const table = { data: path, columns, quote: '"', split: '', subset: null, views: viewsOf(undefined) }
  const { groups } = await openTable(table, own, signal)
  for await (const rows of groups)
    yield rows.map(([text, label]) => ({ text: text as string, label: (label as string | undefined) ?? null }))
}
