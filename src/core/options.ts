/**
 * Options of public calls: read once, checked, copied. An unknown name is refused, with the nearest known name or the
 * name that replaces it here. A wrong value is refused, with the values that are expected. undefined counts as absent,
 * null does not. Only own properties count. A getter that throws gives a coded error.
 */
import { types } from 'node:util'
import { EmbedCoreError } from './errors.js'
import { type DeviceName, DEVICES } from './names.js'
import { optionHere, valueHere } from './other-names.js'
import { nearest, reason, show } from './show.js'

/** What an option may be. `read` returns the value to keep (a copy, for lists) or the REFUSED symbol. */
export interface Rule<T> {
  expected: string
  /** The accepted names, if it takes only names: for a misspelt one, the nearest is suggested. */
  names?: readonly string[]
  read(value: unknown): T | typeof REFUSED
}
const REFUSED = Symbol('refused')

export type Rules = Readonly<Record<string, Rule<unknown>>>
export type Checked<R extends Rules> = { [K in keyof R]?: R[K] extends Rule<infer T> ? T : never }

export function checkOptions<R extends Rules>(given: unknown, rules: R): Checked<R> {
  if (given === undefined) return {}
  if (typeof given !== 'object' || given === null || Array.isArray(given) || ArrayBuffer.isView(given)) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected an object of options but received ${show(given)}`,
    )
  }
  const known = Object.keys(rules)
  const checked: Record<string, unknown> = {}
  for (const name of reading('the options', () => Object.keys(given))) {
    if (!Object.hasOwn(rules, name)) throw unknownOption(name, known)
    const value = reading(`the option ${name}`, () => (given as Record<string, unknown>)[name])
    if (value === undefined) continue
    const rule = rules[name]!
    const kept = reading(`the option ${name}`, () => rule.read(value))
    if (kept === REFUSED) throw invalidOption(name, rule.expected, value, rule.names)
    checked[name] = kept
  }
  return checked as Checked<R>
}

export function invalidOption(
  name: string,
  expected: string,
  value: unknown,
  names: readonly string[] = [],
): EmbedCoreError {
  return new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_OPTION',
    `Expected ${expected} for ${name} but received ${show(value)}${valueAdvice(name, value, names)}`,
  )
}

function valueAdvice(name: string, value: unknown, names: readonly string[]): string {
  if (typeof value !== 'string') return ''
  const here = valueHere(name, value)
  if (here !== null) return `; ${here}`
  const near = nearest(value, names)
  return near === null ? '' : `; did you mean '${near}'?`
}

function unknownOption(name: string, known: readonly string[]): EmbedCoreError {
  return new EmbedCoreError(
    'ERR_EMBEDCORE_UNKNOWN_OPTION',
    `Expected a known option but received ${show(name)}; ${nameAdvice(name, known)}`,
  )
}

function nameAdvice(name: string, known: readonly string[]): string {
  // `prompt_name` means `promptName`, and `batch_size` means `batchSize` where that option exists.
  const same = known.find((candidate) => candidate.toLowerCase() === name.toLowerCase().replace(/[_-]/g, ''))
  if (same !== undefined) return `did you mean ${show(same)}?`
  const here = optionHere(name)
  if (here !== null) return here
  const near = nearest(name, known)
  return near === null ? `known are ${known.join(', ')}` : `did you mean ${show(near)}?`
}

function reading<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `Reading ${what} failed: ${reason(error)}`, {
      cause: error,
    })
  }
}

function rule<T>(
  expected: string,
  read: (value: unknown) => T | typeof REFUSED,
  names: readonly string[] = [],
): Rule<T> {
  return { expected, names, read }
}

/** A rule that keeps what `accepts` accepts, as it is. */
export function only<T>(expected: string, accepts: (value: unknown) => boolean): Rule<T> {
  return rule(expected, (value) => (accepts(value) ? (value as T) : REFUSED))
}

export const flag = only<boolean>('true or false', (value) => typeof value === 'boolean')
export const text = only<string>('a string', (value) => typeof value === 'string')
export const filledText = only<string>(
  'a string that is not empty',
  (value) => typeof value === 'string' && value !== '',
)
export const callback = <F>() => only<F>('a function', (value) => typeof value === 'function')

/** Recognised by its properties and not by its class, because signals may come from other realms or polyfills. */
export const abortSignal = only<AbortSignal>('an AbortSignal', (value) => {
  const signal = value as Partial<AbortSignal> | null
  return (
    typeof signal === 'object' &&
    signal !== null &&
    typeof signal.aborted === 'boolean' &&
    typeof signal.addEventListener === 'function' &&
    typeof signal.removeEventListener === 'function'
  )
})

export function integer(minimum: number, maximum = 2 ** 31 - 1): Rule<number> {
  return only(
    `an integer from ${minimum} to ${maximum}`,
    (value) => Number.isInteger(value) && (value as number) >= minimum && (value as number) <= maximum,
  )
}

export const positiveNumber = only<number>(
  'a number above 0',
  (value) => typeof value === 'number' && value > 0 && Number.isFinite(value),
)
export const finiteNumber = only<number>('a finite number', (value) => Number.isFinite(value))

export function oneOf<const T extends readonly (string | boolean)[]>(...values: T): Rule<T[number]> {
  const shown = values.map((value) => (typeof value === 'string' ? `'${value}'` : String(value)))
  const expected = `one of ${shown.join(', ')}`
  return {
    ...only<T[number]>(expected, (value) => values.includes(value as T[number])),
    names: values.filter((value) => typeof value === 'string'),
  }
}

/** Whether it names a device. No machine has as many as the form allows. */
export function isDeviceName(value: unknown): value is DeviceName {
  return DEVICES.some((name) => name === value) || (typeof value === 'string' && /^cuda:(0|[1-9]\d{0,2})$/.test(value))
}

/** Names from which the nearest is suggested. */
export const DEVICE_EXAMPLES = ['cuda:0', ...DEVICES] as const

/** A device of load. */
export const deviceName: Rule<DeviceName> = {
  ...only<DeviceName>(
    "'auto', 'cpu', 'cuda' or the number of a CUDA device, from 'cuda:0' to 'cuda:999'",
    isDeviceName,
  ),
  names: DEVICE_EXAMPLES,
}

/** One value or a list of them that is not empty; kept as a list. */
export function oneOrMore<T>(item: Rule<T>): Rule<T[]> {
  return rule(
    `${item.expected}, or a list of them`,
    (value) => {
      if (!Array.isArray(value)) {
        const kept = item.read(value)
        return kept === REFUSED ? REFUSED : [kept]
      }
      if (value.length === 0) return REFUSED
      const list: T[] = []
      for (let i = 0; i < value.length; i++) {
        const kept = item.read(value[i])
        if (kept === REFUSED) return REFUSED
        list.push(kept)
      }
      return list
    },
    item.names,
  )
}

/** Strings by name, such as prompts by column; copied. */
export const textsByName = rule<Record<string, string>>('an object of strings', (value) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return REFUSED
  const entries = Object.entries(value)
  return entries.every(([, item]) => typeof item === 'string') ? Object.fromEntries(entries) : REFUSED
})

/** A rule that accepts what any of the given rules accepts. */
export function either<A, B>(a: Rule<A>, b: Rule<B>): Rule<A | B> {
  return rule<A | B>(`${a.expected}, or ${b.expected}`, (value) => {
    const kept = a.read(value)
    return kept === REFUSED ? b.read(value) : kept
  })
}

export function listOf<T>(item: Rule<T>): Rule<T[]> {
  const many = oneOrMore(item)
  return rule(`a list of ${item.expected}`, (value) => (Array.isArray(value) ? many.read(value) : REFUSED))
}

/** Quantisation ranges: the minimum of every dimension, then the maximum. */
export const quantizationRanges = rule<Float32Array>(
  'a Float32Array of finite minimums and then maximums, none of which is below its minimum',
  (value) => {
    if (!types.isFloat32Array(value) || value.length === 0 || value.length % 2 !== 0) return REFUSED
    const half = value.length / 2
    for (let i = 0; i < half; i++)
      if (!(Number.isFinite(value[i]) && Number.isFinite(value[half + i]) && value[i]! <= value[half + i]!))
        return REFUSED
    return value.slice()
  },
)
