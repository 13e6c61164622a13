/**
 * Parses an argument list by a table of flags, with `parseArgs` of node:util in strict mode and with its own error
 * messages: for an unknown flag the nearest one is suggested, for a missing value the message says what it is.
 */
import { parseArgs } from 'node:util'
import { UsageError } from './failures.js'
import { didYouMean } from './did-you-mean.js'

export interface Flag {
  type: 'string' | 'boolean'
  short?: string
  /** The placeholder of the value in help, e.g. `FILE`. */
  value?: string
  /** One line of help. */
  help: string
}

export type Flags = Readonly<Record<string, Flag>>

/** The parsed arguments: strings and booleans by flag name, and the rest. */
export interface Arguments {
  values: Readonly<Record<string, string | boolean | undefined>>
  positionals: readonly string[]
  topic: string
}

/** `--layers -1` means the value -1, but parseArgs would take it for a flag. No flag here begins with a digit. */
function joinNegativeValues(args: readonly string[], flags: Flags): string[] {
  const joined: string[] = []
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!
    if (arg === '--') return [...joined, ...args.slice(i)]
    const flag = arg.startsWith('--') ? flags[arg.slice(2)] : undefined
    const next = args[i + 1]
    if (flag?.type === 'string' && next !== undefined && /^-\d/.test(next)) {
      joined.push(`${arg}=${next}`)
      i++
    } else joined.push(arg)
  }
  return joined
}

export function parseArguments(topic: string, args: readonly string[], flags: Flags): Arguments {
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, { type, short }]) => [name, short === undefined ? { type } : { type, short }]),
  )
  const joined = joinNegativeValues(args, flags)
  const { tokens } = parseArgs({ args: joined, options, strict: false, allowPositionals: true, tokens: true })
  const seen = new Set<string>()
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined
    if (flag === undefined) {
      const hint = token.rawName.startsWith('--') ? didYouMean(token.name, Object.keys(flags), '--') : ''
      const dashed = hint === '' ? ' (a text that begins with "-" goes behind "--")' : ''
      throw new UsageError(`unknown flag ${token.rawName}${hint}${dashed}`, topic)
    }
    if (flag.type === 'boolean' && token.value !== undefined)
      throw new UsageError(`--${token.name} takes no value, but ${JSON.stringify(token.value)} was given`, topic)
    if (
      flag.type === 'string' &&
      (token.value === undefined || (!token.inlineValue && token.value.length > 1 && token.value.startsWith('-')))
    ) {
      throw new UsageError(`--${token.name} needs a value: --${token.name} ${flag.value ?? 'VALUE'}`, topic)
    }
    if (seen.has(token.name)) throw new UsageError(`--${token.name} was given twice`, topic)
    seen.add(token.name)
  }
  const { values, positionals } = parseArgs({ args: joined, options, strict: true, allowPositionals: true })
  return { values: values as Arguments['values'], positionals, topic }
}

export function stringOf(args: Arguments, name: string): string | undefined {
  return args.values[name] as string | undefined
}

export function booleanOf(args: Arguments, name: string): boolean {
  return args.values[name] === true
}

/** A whole number of at least `least`. */
export function integerOf(args: Arguments, name: string, least = 1): number | undefined {
  const given = stringOf(args, name)
  if (given === undefined) return undefined
  const number = Number(given)
  if (!/^[+-]?\d+$/.test(given) || !Number.isSafeInteger(number) || number < least) {
    throw new UsageError(
      `--${name} takes a whole number of at least ${least}, but ${JSON.stringify(given)} was given`,
      args.topic,
    )
  }
  return number
}

/** A comma-separated list of whole numbers from 1. */
export function integersOf(args: Arguments, name: string): number[] | undefined {
  const given = stringOf(args, name)
  const numbers = given?.split(',').map((item) => (/^\s*\d+\s*$/.test(item) ? Number(item) : 0))
  if (numbers?.every((number) => Number.isSafeInteger(number) && number >= 1) !== false) return numbers
  throw new UsageError(
    `--${name} takes whole numbers from 1, parted by commas, but ${JSON.stringify(given)} was given`,
    args.topic,
  )
}

export function numberOf(args: Arguments, name: string): number | undefined {
  const given = stringOf(args, name)
  if (given === undefined) return undefined
  const number = given.trim() === '' ? NaN : Number(given)
  if (Number.isFinite(number)) return number
  throw new UsageError(`--${name} takes a number, but ${JSON.stringify(given)} was given`, args.topic)
}

export function checkChoice<T extends string>(args: Arguments, name: string, given: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === given)
  if (found !== undefined) return found
  throw new UsageError(
    `--${name} is one of ${choices.join(', ')}, but ${JSON.stringify(given)} was given${didYouMean(given, choices)}`,
    args.topic,
  )
}

export function choiceOf<T extends string>(args: Arguments, name: string, choices: readonly T[]): T | undefined {
  const given = stringOf(args, name)
  return given === undefined ? undefined : checkChoice(args, name, given, choices)
}

/** A comma-separated list of choices. */
export function choicesOf<T extends string>(args: Arguments, name: string, choices: readonly T[]): T[] | undefined {
  return stringOf(args, name)
    ?.split(',')
    .map((item) => checkChoice(args, name, item.trim(), choices))
}

/** Two flags that contradict each other. */
export function refuseBoth(args: Arguments, a: string, b: string): void {
  if (args.values[a] !== undefined && args.values[b] !== undefined)
    throw new UsageError(`--${a} and --${b} exclude each other`, args.topic)
}
