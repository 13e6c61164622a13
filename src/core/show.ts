/**
 * Values and names as error messages show them: always short, and without an exception even for objects whose getters
 * throw.
 */

const LONGEST = 60

/** A value as it appears in a message: `"text"`, `12`, `an array of 3`, `a Float32Array of 8`, `an object`. */
export function show(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return showText(value)
    case 'bigint':
      return `${clip(String(value))}n`
    case 'symbol':
      return clip(String(value))
    case 'function':
      return 'a function'
    case 'object':
      return value === null ? 'null' : showObject(value)
    default:
      return String(value)
  }
}

function showText(text: string): string {
  if (text.length <= LONGEST) return JSON.stringify(text)
  return `${JSON.stringify(text.slice(0, LONGEST))}… (${text.length} characters)`
}

function showObject(value: object): string {
  try {
    if (Array.isArray(value)) return `an array of ${value.length}`
    if (ArrayBuffer.isView(value)) {
      const { constructor, length } = value as unknown as { constructor: { name: string }; length?: number }
      const article = constructor.name.startsWith('I') ? 'an' : 'a'
      return length === undefined ? 'a DataView' : `${article} ${constructor.name} of ${length}`
    }
    const name = value.constructor?.name
    return typeof name === 'string' && name !== '' && name !== 'Object'
      ? `an object of class ${clip(name)}`
      : 'an object'
  } catch {
    return 'an object'
  }
}

/** Cut to a length that fits in a sentence. */
export function clip(text: string, longest = LONGEST): string {
  return text.length <= longest ? text : `${text.slice(0, longest)}…`
}

/** The message of a thrown value of any kind, cut short. */
export function reason(error: unknown): string {
  try {
    return clip(error instanceof Error ? error.message : String(error), 300)
  } catch {
    return 'an unknown error'
  }
}

/** The known name nearest to `name` by edit distance, or null when none is near enough to be a misspelling. */
export function nearest(name: string, known: readonly string[]): string | null {
  // A name far longer than any known one is not a misspelling, and the table below must stay small.
  if (name.length > 64) return null
  let best: string | null = null
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance]
  }
  return best
}

/** Levenshtein distance, one row at a time. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
    }
    row = next
  }
  return row[b.length]!
}
