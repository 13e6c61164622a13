/**
 * What samplers know of rows without their texts: a few numbers a row, collected while a source is read for the first
 * time. Only the facts that are needed are kept.
 */
import { Column } from './places.js'
import { type Choice, chooseTexts } from './choice.js'
import type { Row } from './rows.js'

/** Facts that only some samplers need. Labels, categories and languages are kept where there are such columns. */
export interface Needs {
  /** Hashes of the texts, for batches without duplicates. */
  keys: boolean
  ids: boolean
  lengths: boolean
}

export const NOTHING: Needs = { keys: false, ids: false, lengths: false }

/** Names as numbers, in the order in which they are first seen. */
export class Names {
  readonly list: string[] = []
  private readonly numbers = new Map<string, number>()

  number(name: string): number {
    let number = this.numbers.get(name)
    if (number === undefined) {
      number = this.list.push(name) - 1
      this.numbers.set(name, number)
    }
    return number
  }
}

/** Names of all sources together, so that a class has one number in all of them. */
export interface Dictionaries {
  labels: Names
  categories: Names
  languages: Names
}
export const newDictionaries = (): Dictionaries => ({
  labels: new Names(),
  categories: new Names(),
  languages: new Names(),
})

export interface RowFacts {
  readonly count: number
  /** Numbers of the dictionaries, one a row; null = the source has no such column. */
  readonly labels: Int32Array | null
  readonly categories: Int32Array | null
  readonly languages: Int32Array | null
  /** 32-bit hashes of ids; null = not needed. Two ids may share one, which at worst keeps two rows out of one batch. */
  readonly ids: Uint32Array | null
  /** UTF-16 units of the texts of a row; null = not needed. */
  readonly lengths: Uint32Array | null
  /** 32-bit hashes of the texts that a row has in an epoch; null = not needed. */
  readonly keys: ((row: number, epoch: number) => ArrayLike<number>) | null
}

export class FactCollector {
  private count = 0
  private readonly labels = new Column(new Int32Array(0))
  private readonly categories = new Column(new Int32Array(0))
  private readonly languages = new Column(new Int32Array(0))
  private readonly ids = new Column(new Uint32Array(0))
  private readonly lengths = new Column(new Uint32Array(0))
  private readonly keys = new Column(new Uint32Array(0))
  /** Of flag-embedding, whose rows have different numbers of texts: where those of a row begin, and its positives. */
  private readonly keyStarts = new Column(new Float64Array(0))
  private readonly positives = new Column(new Uint32Array(0))

  constructor(
    private readonly needs: Needs,
    private readonly dictionaries: Dictionaries,
    /** Null = all texts of a row are used. */
    private readonly choice: Choice | null,
  ) {}

  add(row: Row): void {
    this.count++
    const { needs, dictionaries } = this
    if (row.label !== null) this.labels.push(dictionaries.labels.number(row.label))
    if (row.category !== null) this.categories.push(dictionaries.categories.number(row.category))
    if (row.language !== null) this.languages.push(dictionaries.languages.number(row.language))
    if (needs.ids && row.id !== null) this.ids.push(hashText(row.id))
    if (needs.lengths) this.lengths.push(Math.min(2 ** 32 - 1, lengthOf(row)))
    if (!needs.keys) return
    if (this.choice !== null) {
      this.keyStarts.push(this.keys.length)
      this.positives.push(row.positives)
    }
    for (const text of row.texts) this.keys.push(hashText(text))
  }

  finish(): RowFacts {
    const { count, needs } = this
    const whole = <T extends Uint32Array | Int32Array>(column: Column<T>): T | null =>
      count > 0 && column.length === count ? column.taken() : null
    return {
      count,
      labels: whole(this.labels),
      categories: whole(this.categories),
      languages: whole(this.languages),
      ids: whole(this.ids),
      lengths: whole(this.lengths),
      keys: needs.keys ? this.textKeys() : null,
    }
  }

  private textKeys(): (row: number, epoch: number) => ArrayLike<number> {
    const { count, choice } = this
    const keys = this.keys.taken()
    if (choice === null) {
      const width = count === 0 ? 0 : keys.length / count
      return (row) => keys.subarray(row * width, (row + 1) * width)
    }
    this.keyStarts.push(keys.length)
    const starts = this.keyStarts.taken()
    const positives = this.positives.taken()
    return (row, epoch) => {
      const texts = starts[row + 1]! - starts[row]!
      return chooseTexts(choice, epoch, row, positives[row]!, texts).map((i) => keys[starts[row]! + i]!)
    }
  }
}

function lengthOf(row: Row): number {
  let units = 0
  for (const text of row.texts) units += text.length
  return units
}

/** 32-bit FNV-1a over UTF-16 units, finished so that every bit depends on every unit. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
