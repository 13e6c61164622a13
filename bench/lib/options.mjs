/** Command-line options of the bench's scripts: only known names, checked values, and `--help`. */
import { parseArgs } from 'node:util'

export class UsageError extends Error {}

/** spec: { name: { type: 'string'|'boolean', default?, value: 'N', help } }. With --help it prints them and exits. */
export function parseOptions(argv, spec, intro) {
  const options = { help: { type: 'boolean', help: 'print this' }, ...spec }
  const known = Object.fromEntries(Object.entries(options).map(([name, o]) => [name, { type: o.type }]))
  let values
  try {
    values = parseArgs({ args: argv, options: known, strict: true }).values
  } catch (error) {
    throw new UsageError(`${error.message.split('. ')[0]}; --help lists the options`)
  }
  if (values.help) {
    const lines = Object.entries(options).map(([name, o]) => {
      const usage = `--${name}${o.value ? ` ${o.value}` : ''}`
      return `  ${usage.padEnd(26)}${o.help}${o.default === undefined ? '' : ` (default ${o.default})`}`
    })
    process.stdout.write(`${intro}\n\n${lines.join('\n')}\n`)
    process.exit(0)
  }
  return Object.fromEntries(Object.entries(options).map(([name, o]) => [name, values[name] ?? o.default]))
}

export function positive(name, text, { integer = true, least = integer ? 1 : 0.01 } = {}) {
  const value = Number(text)
  if (!Number.isFinite(value) || value < least || (integer && !Number.isInteger(value))) {
    throw new UsageError(
      `--${name} must be ${integer ? 'a whole number' : 'a number'} of at least ${least}, not "${text}"`,
    )
  }
  return value
}

/** Comma-separated names, each one of `known`. */
export function listOf(name, text, known) {
  const chosen = text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean)
  const wrong = chosen.find((part) => !known.includes(part))
  if (wrong !== undefined || chosen.length === 0)
    throw new UsageError(`--${name} takes some of ${known.join(', ')}, not "${wrong ?? text}"`)
  return chosen
}
