/**
 * One run of the command: arguments in, exit code out. It uses only the streams it is given and the files named in the
 * arguments.
 */
import type { CliIO } from './contract.js'
import { doctorCommand } from './doctor.js'
import { encodeCommand } from './encode.js'
import { evaluateCommand } from './evaluate.js'
import { EXIT, toFailure, UsageError, withCode } from './failures.js'
import { COMMANDS, helpText, type Command } from './help.js'
import { infoCommand } from './info.js'
import { mapCommand } from './map.js'
import { didYouMean } from './did-you-mean.js'
import { StreamSink } from './output/sink.js'
import { similarityCommand } from './similarity.js'
import { staticCommand } from './static.js'
import { trainCommand } from './train.js'
import { packageVersion } from '../core/version.js'

const RUNNERS: Readonly<Record<Exclude<Command, 'help'>, (argv: readonly string[], io: CliIO) => Promise<number>>> = {
  encode: encodeCommand,
  similarity: similarityCommand,
  map: mapCommand,
  evaluate: evaluateCommand,
  train: trainCommand,
  static: staticCommand,
  info: infoCommand,
  doctor: doctorCommand,
}

const isCommand = (name: string): name is Command => (COMMANDS as readonly string[]).includes(name)

/** The arguments before `--`, where flags are recognised. */
function beforeDashes(argv: readonly string[]): readonly string[] {
  const end = argv.indexOf('--')
  return end < 0 ? argv : argv.slice(0, end)
}

export async function runCli(argv: readonly string[], io: CliIO): Promise<number> {
  try {
    return await dispatch(argv, io)
  } catch (error) {
    const failure = toFailure(error, io.signal?.aborted === true)
    if (failure === null) return EXIT.ok
    const { code, message, exit, topic } = failure
    if (beforeDashes(argv).includes('--json')) io.stderr.write(`${JSON.stringify({ error: { code, message } })}\n`)
    else if (exit === EXIT.usage)
      io.stderr.write(`embedcore: ${message}\nSee: embedcore help${topic === null ? '' : ` ${topic}`}\n`)
    else {
      const coded = code.startsWith('ERR_EMBEDCORE') && exit !== EXIT.interrupted
      io.stderr.write(`embedcore: ${coded ? withCode(message, code) : message}\n`)
    }
    return exit
  }
}

async function dispatch(argv: readonly string[], io: CliIO): Promise<number> {
  const [first, ...rest] = argv
  const print = async (text: string) => {
    await new StreamSink(io.stdout).write(text)
    return EXIT.ok
  }
  if (first === undefined) throw new UsageError(`no command: one of ${COMMANDS.join(', ')}`)
  if (first === '--version' || first === '-v' || first === '-V') return print(`${packageVersion()}\n`)
  if (first === '--help' || first === '-h') return print(helpText(null))
  if (first.startsWith('-'))
    throw new UsageError(`the command comes first, but ${first} was given; commands are ${COMMANDS.join(', ')}`)
  if (!isCommand(first))
    throw new UsageError(
      `unknown command ${JSON.stringify(first)}` +
        (didYouMean(first, COMMANDS) || `; commands are ${COMMANDS.join(', ')}`),
    )
  if (beforeDashes(rest).some((arg) => arg === '--help' || arg === '-h')) return print(helpText(first))
  if (first !== 'help') return RUNNERS[first](rest, io)
  const [topic] = rest
  if (topic === undefined) return print(helpText(null))
  if (!isCommand(topic))
    throw new UsageError(
      `no help on ${JSON.stringify(topic)}${didYouMean(topic, COMMANDS) || `; commands are ${COMMANDS.join(', ')}`}`,
    )
  return print(helpText(topic))
}
