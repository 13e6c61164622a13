/** How a run ends: the exit codes, the errors of the command itself, and the code each error leads to. */
import { toEmbedCoreError, type ErrorCode } from '../core/errors.js'

export const EXIT = { ok: 0, failed: 1, usage: 2, input: 3, interrupted: 130 } as const

/** The command line is wrong; `topic` is the help topic that explains it. */
export class UsageError extends Error {
  readonly code = 'ERR_CLI_USAGE'

  constructor(
    message: string,
    readonly topic: string | null = null,
  ) {
    super(message)
  }
}

/** The texts cannot be read: no such file, bad encoding, malformed CSV or JSON. */
export class InputError extends Error {
  readonly code = 'ERR_CLI_INPUT'
}

/** The results cannot be written. */
export class OutputError extends Error {
  readonly code = 'ERR_CLI_OUTPUT'
}

/** The score of an evaluation is below the one that the command line demands. */
export class ScoreError extends Error {
  readonly code = 'ERR_CLI_MIN_SCORE'
}

/** The score has fallen below that of the baseline. */
export class BaselineError extends Error {
  readonly code = 'ERR_CLI_BASELINE'
}

/** The reader of the output has ended (`| head`): nothing is left to do, and this is not an error. */
export class ReaderGone extends Error {
  readonly code = 'EPIPE'
}

const USAGE_CODES: readonly ErrorCode[] = ['ERR_EMBEDCORE_INVALID_OPTION', 'ERR_EMBEDCORE_UNKNOWN_OPTION']
const INPUT_CODES: readonly ErrorCode[] = [
  'ERR_EMBEDCORE_INVALID_DATA',
  'ERR_EMBEDCORE_INVALID_TEXT',
  'ERR_EMBEDCORE_TEXT_TOO_LONG',
]

export interface Failure {
  exit: number
  code: string
  message: string
  /** Help topic for a usage error. */
  topic: string | null
}

/** The message and the exit code; null = end without a message. */
export function toFailure(error: unknown, interrupted: boolean): Failure | null {
  if (error instanceof ReaderGone) return null
  if (interrupted) return { exit: EXIT.interrupted, code: 'ERR_EMBEDCORE_ABORTED', message: 'interrupted', topic: null }
  if (error instanceof UsageError)
    return { exit: EXIT.usage, code: error.code, message: error.message, topic: error.topic }
  if (error instanceof InputError) return { exit: EXIT.input, code: error.code, message: error.message, topic: null }
  if (error instanceof OutputError || error instanceof ScoreError || error instanceof BaselineError)
    return { exit: EXIT.failed, code: error.code, message: error.message, topic: null }
  const { code, message } = toEmbedCoreError(error)
  const exit = USAGE_CODES.includes(code) ? EXIT.usage : INPUT_CODES.includes(code) ? EXIT.input : EXIT.failed
  return { exit, code, message, topic: null }
}

/** The system's short name of a failed file operation, as a clause. */
export function systemReason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  const known: Record<string, string> = {
    ENOENT: 'no such file or folder',
    EACCES: 'permission denied',
    EPERM: 'operation not permitted',
    EISDIR: 'is a folder',
    ENOTDIR: 'a part of the path is not a folder',
    ENOSPC: 'no space left on the device',
    EROFS: 'the file system is read-only',
    EMFILE: 'too many open files',
  }
  return (code && known[code]) ?? message ?? String(error)
}

/** Puts the code after the first line of the message; advice may follow on further lines. */
export function withCode(message: string, code: string): string {
  const [first, ...rest] = message.split('\n')
  return [`${first} (${code})`, ...rest].join('\n')
}
