/** From a record of a source to a checked row, or the reason why it is none. */
import { show } from '../../core/show.js'
import type { DataFormat } from './columns.js'
import { isColumnName } from './columns.js'
import type { Row } from './rows.js'

export type RawRecord = Readonly<Record<string, unknown>>

/** Reads the records of one source. A reason is the end of a sentence that names the place. */
export class RowParser {
  private readonly used: ReadonlySet<string>
  /** Numbers of the first row that has some; every row has as many. */
  private width: number | null = null

  /**
   * `asText`: values are strings, as in CSV, and numbers are read from them. `every`: columns that only some rows have
   * are looked for.
   */
  constructor(
    readonly format: DataFormat,
    private readonly asText: boolean,
    private readonly every: boolean,
  ) {
    const { from, target, lists, extras, ignored } = format
    const optional = [target?.from, lists?.positiveScores, lists?.negativeScores, lists?.prompt]
    this.used = new Set([
      ...from,
      ...Object.values(extras),
      ...ignored,
      ...optional.filter((name): name is string => typeof name === 'string'),
    ])
  }

  /** Numbers per row: 0 without numbers, and of flag-embedding, whose lists differ in length. */
  get scoresPerRow(): number {
    return this.width ?? 0
  }

  parse(record: RawRecord): Row | string {
    if (this.every) {
      // A column that the first row lacks would be dropped without a sign.
      for (const name in record)
        if (!this.used.has(name) && isColumnName(name) && record[name] !== null)
          return `has a column ${show(name)} that the first row does not have`
    }
    return this.format.kind === 'flag-embedding' ? this.flagEmbedding(record) : this.plain(record)
  }

  private plain(record: RawRecord): Row | string {
    const { from, target, kind } = this.format
    const texts = new Array<string>(from.length)
    for (let i = 0; i < from.length; i++) {
      const text = valueOf(record, from[i]!)
      const wrong = wrongText(text)
      if (wrong !== null) return `${wrong} for ${show(from[i])}`
      texts[i] = text as string
    }
    let scores: number[] | null = null
    let label: string | null = null
    if (target !== null) {
      const value = valueOf(record, target.from)
      if (target.as === 'class') {
        label = nameOf(value)
        if (label === null) return `expected a class for ${show(target.from)} but found ${show(value)}`
      } else {
        const numbers = this.numbers(value)
        if (typeof numbers === 'string') return `${numbers} for ${show(target.from)}`
        this.width ??= numbers.length
        if (numbers.length !== this.width)
          return (
            `expected ${this.width} numbers for ${show(target.from)} as in the first row ` +
            `but found ${numbers.length}`
          )
        if (kind !== 'text-vectors' && numbers.length > 1 && numbers.length !== from.length - 1)
          return (
            `expected one number, or ${from.length - 1}, one per text after the first, for ${show(target.from)} ` +
            `but found ${numbers.length}`
          )
        scores = numbers
      }
    }
    return this.withExtras(record, { texts, positives: 0, scores, label })
  }

  private flagEmbedding(record: RawRecord): Row | string {
    const { from, lists, columns } = this.format
    const query = valueOf(record, from[0]!)
    const wrong = wrongText(query)
    if (wrong !== null) return `${wrong} for ${show(from[0])}`
    const positives = textList(valueOf(record, from[1]!))
    if (typeof positives === 'string') return `${positives} for ${show(from[1])}`
    const wanted = columns.length - 2
    const negatives = wanted === 0 ? [] : textList(valueOf(record, from[2]!))
    if (typeof negatives === 'string') return `${negatives} for ${show(from[2])}`
    let scores: number[] | null = null
    if (lists!.positiveScores !== null) {
      scores = []
      for (const [name, count] of [
        [lists!.positiveScores, positives.length],
        ...(wanted === 0 ? [] : [[lists!.negativeScores!, negatives.length] as const]),
      ] as const) {
        const numbers = this.numbers(valueOf(record, name))
        if (typeof numbers === 'string') return `${numbers} for ${show(name)}`
        if (numbers.length !== count)
          return `expected ${count} numbers for ${show(name)}, one per text, but found ${numbers.length}`
        scores.push(...numbers)
      }
      this.width = columns.length - 1
    }
    const prompt = lists!.prompt === null ? null : (valueOf(record, lists!.prompt) ?? null)
    if (prompt !== null && typeof prompt !== 'string')
      return `expected a string for ${show(lists!.prompt)} but found ${show(prompt)}`
    const texts = [query as string, ...positives, ...negatives]
    const row = this.withExtras(record, { texts, positives: positives.length, scores, label: null })
    if (typeof row !== 'string') row.prompt = prompt
    return row
  }

  private withExtras(record: RawRecord, row: Pick<Row, 'texts' | 'positives' | 'scores' | 'label'>): Row | string {
    const { extras } = this.format
    const { texts, positives, scores } = row
    // Written out, because it runs for every row of the data.
    const id = extras.id === undefined ? null : nameOf(valueOf(record, extras.id))
    if (id === null && extras.id !== undefined) return noName(record, extras.id)
    const category = extras.category === undefined ? null : nameOf(valueOf(record, extras.category))
    if (category === null && extras.category !== undefined) return noName(record, extras.category)
    const language = extras.language === undefined ? null : nameOf(valueOf(record, extras.language))
    if (language === null && extras.language !== undefined) return noName(record, extras.language)
    const group = extras.group === undefined ? null : nameOf(valueOf(record, extras.group))
    if (group === null && extras.group !== undefined) return noName(record, extras.group)
    // A sentence with a class and a group is sampled by its class.
    return { texts, positives, scores, label: row.label ?? group, category, language, id, prompt: null }
  }

  private numbers(value: unknown): number[] | string {
    const list: readonly unknown[] = Array.isArray(value) ? value : [value]
    if (list.length === 0) return 'expected numbers but found an empty list'
    const numbers = new Array<number>(list.length)
    for (let i = 0; i < list.length; i++) {
      const item = list[i]
      const number = typeof item === 'boolean' ? Number(item) : this.asText && isNumeral(item) ? Number(item) : item
      if (typeof number !== 'number' || !Number.isFinite(Math.fround(number)))
        return `expected ${Array.isArray(value) ? 'finite numbers' : 'a finite number'} but found ${show(item)}`
      numbers[i] = number
    }
    return numbers
  }
}

function noName(record: RawRecord, from: string): string {
  return `expected a name or a number for ${show(from)} but found ${show(valueOf(record, from))}`
}

/** Own properties only: a row may have a column named `constructor`. */
function valueOf(record: RawRecord, name: string): unknown {
  return Object.hasOwn(record, name) ? record[name] : undefined
}

const isNumeral = (value: unknown): value is string => typeof value === 'string' && value.trim() !== ''

function wrongText(value: unknown): string | null {
  if (typeof value !== 'string') return `expected a text but found ${value === undefined ? 'nothing' : show(value)}`
  return value.trim() === '' ? 'expected a text but found an empty one' : null
}

function textList(value: unknown): string[] | string {
  if (!Array.isArray(value))
    return `expected a list of texts but found ${value === undefined ? 'nothing' : show(value)}`
  if (value.length === 0) return 'expected a list of texts but found an empty one'
  for (const item of value as unknown[]) {
    const wrong = wrongText(item)
    if (wrong !== null) return `${wrong} in the list`
  }
  return value as string[]
}

/** A class, category or id as a string; 1 and "1" are the same. */
function nameOf(value: unknown): string | null {
  if (typeof value === 'string') return value === '' ? null : value
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : null
  return typeof value === 'boolean' || typeof value === 'bigint' ? String(value) : null
}
