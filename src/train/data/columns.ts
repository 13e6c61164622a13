/**
 * From the names of columns to the kind of the data. Names are matched exactly, from a short list; a name that looks
 * like a misspelt one is refused, because the column would be ignored without a sign.
 */
import { editDistance, show } from '../../core/show.js'
import type { DataKind } from './rows.js'

/** Names under which a column is found, our own first. */
const NAMES = {
  anchor: ['anchor', 'query', 'question'],
  positive: ['positive', 'answer', 'response'],
  sentence1: ['sentence1', 'sentence_1', 'sentence_A', 'sentence_a', 'text1', 'text_1', 'premise'],
  sentence2: ['sentence2', 'sentence_2', 'sentence_B', 'sentence_b', 'text2', 'text_2', 'hypothesis'],
  sentence: ['sentence', 'text'],
  score: ['score', 'scores'],
  label: ['label', 'labels'],
  negative: ['negative'],
  pos: ['pos'],
  neg: ['neg'],
  pos_scores: ['pos_scores'],
  neg_scores: ['neg_scores'],
  prompt: ['prompt'],
  id: ['id'],
  group: ['group'],
  category: ['category'],
  language: ['language', 'lang'],
} as const
type Known = keyof typeof NAMES

/** Columns that accompany the texts. */
export const EXTRAS = ['id', 'group', 'category', 'language'] as const
export type Extra = (typeof EXTRAS)[number]

/** The names that the option `columns` may map. */
export const COLUMN_NAMES: readonly string[] = [...Object.keys(NAMES), 'negative_1', 'negative_2', 'negative_3']
const NUMBERED = /^negative_([1-9]\d{0,2})$/
export const isColumnName = (name: string): boolean => Object.hasOwn(NAMES, name) || NUMBERED.test(name)

export interface DataFormat {
  kind: DataKind
  /** The text columns by our names, in order; of flag-embedding those of a batch. */
  columns: readonly string[]
  /** Their names in the source, or those of the lists of flag-embedding. */
  from: readonly string[]
  /** The column of the numbers or classes in the source. */
  target: { from: string; as: 'class' | 'vector' | 'numbers' } | null
  /** Lists of numbers and the prompt of flag-embedding. */
  lists: { positiveScores: string | null; negativeScores: string | null; prompt: string | null } | null
  extras: Readonly<Partial<Record<Extra, string>>>
  /** Columns that are not used. */
  ignored: readonly string[]
}

/** What is detected in the columns, or what is wrong with them, as the end of a sentence. */
export type Detected = DataFormat | { wrong: string }

/**
 * The format of a row with these columns. `mapping`: the column of the source for each of our names, and no other
 * columns are used; null = columns are found by their names. `negatives`: of flag-embedding, those drawn per row.
 */
export function detectFormat(
  row: Readonly<Record<string, unknown>>,
  mapping: ReadonlyMap<string, string[]> | null,
  negatives: number,
): Detected {
  const present = Object.keys(row)
  const found = new Map<string, string>()
  for (const known of Object.keys(NAMES) as Known[]) {
    const names: readonly string[] = mapping === null ? NAMES[known] : (mapping.get(known) ?? [])
    const here = names.filter((name) => Object.hasOwn(row, name))
    if (mapping !== null && here.length < names.length)
      return { wrong: `no column ${show(names[0])} (for ${known}) among ${listed(row)}` }
    if (here.length > 1) return { wrong: `both ${show(here[0])} and ${show(here[1])}, which mean the same` }
    if (here.length === 1) found.set(known, here[0]!)
  }
  const numbered = numberedNegatives(present, mapping)
  if ('wrong' in numbered) return numbered
  const used = new Set([...found.values(), ...numbered.from])
  const ignored = present.filter((name) => !used.has(name))
  const misspelt = mapping === null ? ignored.map(misspelling).find((advice) => advice !== null) : undefined
  if (misspelt !== undefined) return { wrong: misspelt! }
  return assemble(row, found, numbered.from, ignored, negatives)
}

/** The columns negative_1, negative_2 … in order, without gaps. */
function numberedNegatives(
  present: readonly string[],
  mapping: ReadonlyMap<string, string[]> | null,
): { from: string[] } | { wrong: string } {
  const from: string[] = []
  const sourceOf = (name: string): string | undefined => (mapping === null ? name : mapping.get(name)?.[0])
  for (let i = 1; ; i++) {
    const source = sourceOf(`negative_${i}`)
    if (source === undefined || !present.includes(source)) break
    from.push(source)
  }
  const named = mapping === null ? present : [...mapping.keys()]
  const last = named.filter((name) => NUMBERED.test(name) && Number(NUMBERED.exec(name)![1]) > from.length)[0]
  if (last !== undefined) return { wrong: `the column ${show(sourceOf(last))} without negative_${from.length + 1}` }
  return { from }
}

/** Whether an unknown name is a slip of a known one: one letter in short names, two in long ones. */
function misspelling(name: string): string | null {
  if (name.length < 5 || name.length > 24) return null
  for (const near of Object.values(NAMES).flat()) {
    if (near.length < 5 || editDistance(name, near) > (near.length >= 7 ? 2 : 1)) continue
    return `the column ${show(name)}; did you mean ${show(near)}? (the option columns says which columns are used)`
  }
  return null
}

function assemble(
  row: Readonly<Record<string, unknown>>,
  found: ReadonlyMap<string, string>,
  numbered: readonly string[],
  ignored: readonly string[],
  negatives: number,
): Detected {
  const [score, label] = [found.get('score'), found.get('label')]
  const extras = Object.fromEntries(
    EXTRAS.flatMap((name) => (found.has(name) ? [[name, found.get(name)!]] : [])),
  ) as Partial<Record<Extra, string>>
  const base = { extras, ignored, lists: null }
  const target = score ?? label
  if (score !== undefined && label !== undefined) return { wrong: `both ${show(score)} and ${show(label)}` }
  const groups = (['pos', 'anchor', 'sentence1', 'sentence'] as const).filter((name) =>
    name === 'anchor' ? found.has('anchor') && !found.has('pos') : found.has(name),
  )
  if (groups.length > 1)
    return {
      wrong: `both ${show(found.get(groups[0]!))} and ${show(found.get(groups[1]!))}, of different kinds of data`,
    }

  if (groups[0] === 'pos') return flagEmbedding(found, target, negatives, base)
  for (const name of ['pos', 'neg', 'pos_scores', 'neg_scores', 'prompt'] as const)
    if (found.has(name)) return { wrong: `the column ${show(found.get(name))}, which belongs to "query" and "pos"` }

  if (groups[0] === 'sentence') {
    const from = found.get('sentence')!
    const stray = found.get('negative') ?? found.get('positive') ?? numbered[0]
    if (stray !== undefined) return { wrong: `the column ${show(stray)} beside ${show(from)}, without an anchor` }
    const as = target !== undefined && Array.isArray(row[target]) ? 'vector' : 'class'
    const kind = target === undefined ? 'texts' : as === 'vector' ? 'text-vectors' : 'labelled-texts'
    if (score !== undefined && as === 'class') return { wrong: `the column ${show(score)} for a single text` }
    return { ...base, kind, columns: ['sentence'], from: [from], target: target ? { from: target, as } : null }
  }

  const first = found.get('anchor') ?? found.get('sentence1')
  const second = found.has('anchor') ? found.get('positive') : found.get('sentence2')
  if (first === undefined) return { wrong: `no anchor, sentence1, sentence or query among ${listed(row)}` }
  if (second === undefined)
    return { wrong: `${show(first)} without a ${found.has('anchor') ? 'positive' : 'sentence2'} among ${listed(row)}` }
  const single = found.get('negative')
  if (single !== undefined && numbered.length > 0) return { wrong: `both ${show(single)} and ${show(numbered[0])}` }
  const negativesFrom = single !== undefined ? [single] : numbered
  if (negativesFrom.length > 0 && !found.has('anchor'))
    return { wrong: `${show(negativesFrom[0])} beside ${show(first)}, without an anchor` }
  const names = found.has('anchor') ? ['anchor', 'positive'] : ['sentence1', 'sentence2']
  const columns = [...names, ...(single !== undefined ? ['negative'] : numbered.map((_, i) => `negative_${i + 1}`))]
  const kind = `${target === undefined ? '' : 'scored-'}${negativesFrom.length > 0 ? 'triplets' : 'pairs'}` as const
  return {
    ...base,
    kind,
    columns,
    from: [first, second, ...negativesFrom],
    target: target === undefined ? null : { from: target, as: 'numbers' },
  }
}

function flagEmbedding(
  found: ReadonlyMap<string, string>,
  target: string | undefined,
  negatives: number,
  base: Pick<DataFormat, 'extras' | 'ignored'>,
): Detected {
  const query = found.get('anchor')
  if (query === undefined) return { wrong: `${show(found.get('pos'))} without a query` }
  for (const other of ['positive', 'negative'] as const)
    if (found.has(other)) return { wrong: `both ${show(found.get('pos'))} and ${show(found.get(other))}` }
  if (target !== undefined) return { wrong: `both ${show(found.get('pos'))} and ${show(target)}` }
  const [positiveScores, negativeScores] = [found.get('pos_scores') ?? null, found.get('neg_scores') ?? null]
  const neg = found.get('neg')
  if (neg === undefined && negatives > 0) return { wrong: `${show(found.get('pos'))} without "neg"` }
  if (negatives > 0 && (positiveScores === null) !== (negativeScores === null))
    return { wrong: `${show(positiveScores ?? negativeScores)} without its counterpart` }
  return {
    ...base,
    kind: 'flag-embedding',
    columns: ['anchor', 'positive', ...Array.from({ length: negatives }, (_, i) => `negative_${i + 1}`)],
    from: [query, found.get('pos')!, ...(neg === undefined ? [] : [neg])],
    target: null,
    lists: { positiveScores, negativeScores, prompt: found.get('prompt') ?? null },
  }
}

function listed(row: Readonly<Record<string, unknown>>): string {
  const names = Object.keys(row)
  return names.length === 0 ? 'no columns' : names.slice(0, 12).map(show).join(', ') + (names.length > 12 ? ' …' : '')
}

/** One line about a format: `pairs: anchor (from "query"), positive; score; ignored "price"`. */
export function describeFormat(format: DataFormat): string {
  const parts: string[] = []
  const texts = format.from.map((from, i) => {
    const ours = format.kind === 'flag-embedding' ? ['anchor', 'positives', 'negatives'][i]! : format.columns[i]!
    return from === ours ? ours : `${ours} (from ${show(from)})`
  })
  parts.push(texts.join(', '))
  if (format.target !== null) parts.push(`${format.target.as} from ${show(format.target.from)}`)
  if (format.lists !== null) {
    const { positiveScores, negativeScores, prompt } = format.lists
    const used = [positiveScores, negativeScores, prompt].filter((name) => name !== null)
    if (used.length > 0) parts.push(`with ${used.map(show).join(', ')}`)
  }
  const extras = Object.entries(format.extras).map(([ours, from]) => (ours === from ? ours : `${ours} (${show(from)})`))
  if (extras.length > 0) parts.push(extras.join(', '))
  if (format.ignored.length > 0) parts.push(`ignored ${format.ignored.map(show).join(', ')}`)
  return `${format.kind}: ${parts.join('; ')}`
}
