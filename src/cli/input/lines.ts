/** Reads plain text (one text per line) and JSON lines (one object or string per line) as a stream. */
import { InputError } from '../failures.js'
import { didYouMean } from '../did-you-mean.js'
import { decodeUtf8, LONGEST_RECORD, type ByteSource } from './bytes.js'

/**
 * Groups of lines as they arrive, without their `\n` or `\r\n`; the last line needs no line end. Empty lines count too.
 */
export async function* readLines(source: ByteSource): AsyncGenerator<string[]> {
  let pieces: string[] = []
  let pending = 0
  let line = 0
  for await (const chunk of decodeUtf8(source)) {
    const parts = chunk.split('\n')
    if (parts.length === 1) {
      if (chunk !== '') pieces.push(chunk)
      pending += chunk.length
    } else {
      parts[0] = pieces.join('') + parts[0]
      const rest = parts.pop()!
      pieces = rest === '' ? [] : [rest]
      pending = rest.length
      line += parts.length
      for (let i = 0; i < parts.length; i++) if (parts[i]!.endsWith('\r')) parts[i] = parts[i]!.slice(0, -1)
      yield parts
    }
    if (pending > LONGEST_RECORD)
      throw new InputError(`line ${line + 1} of ${source.name} is longer than ${LONGEST_RECORD} characters`)
  }
  if (pending > 0) {
    const last = pieces.join('')
    yield [last.endsWith('\r') ? last.slice(0, -1) : last]
  }
}

/**
 * The named fields of every line; blank lines are skipped. If one field is selected, a line may also be a JSON string.
 */
export async function* readJsonLines(source: ByteSource, fields: readonly string[]): AsyncGenerator<string[][]> {
  let line = 0
  for await (const group of readLines(source)) {
    const rows: string[][] = []
    for (const text of group) {
      line++
      if (text.trim() !== '') rows.push(fieldsOf(text, fields, () => `line ${line} of ${source.name}`))
    }
    if (rows.length > 0) yield rows
  }
}

function fieldsOf(json: string, fields: readonly string[], where: () => string): string[] {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (error) {
    throw new InputError(`${where()} is not JSON: ${(error as Error).message}`, { cause: error })
  }
  if (typeof value === 'string' && fields.length === 1) return [value]
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InputError(
      `${where()} holds ${value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`}, ` +
        `not an object with a field ${JSON.stringify(fields[0])}`,
    )
  }
  const object = value as Record<string, unknown>
  return fields.map((field) => {
    const text = Object.hasOwn(object, field) ? object[field] : undefined
    if (typeof text === 'string') return text
    const names = Object.keys(object)
    if (text === undefined)
      throw new InputError(
        `${where()} has no field ${JSON.stringify(field)}; ` +
          `it has ${names.map((name) => JSON.stringify(name)).join(', ') || 'none'}${didYouMean(field, names)}`,
      )
    throw new InputError(
      `${where()}: field ${JSON.stringify(field)} is ${text === null ? 'null' : `a ${typeof text}`}, not a string`,
    )
  })
}
