/**
 * Coded errors: every failure of a public call is an `EmbedCoreError` with a stable `code` and the wrong value in its
 * message.
 */

export const ERROR_CODES = [
  'ERR_EMBEDCORE_ABORTED',
  'ERR_EMBEDCORE_DEVICE',
  'ERR_EMBEDCORE_DISPOSED',
  'ERR_EMBEDCORE_HUB',
  'ERR_EMBEDCORE_HUB_CHECKSUM',
  'ERR_EMBEDCORE_HUB_OFFLINE',
  'ERR_EMBEDCORE_INTERNAL',
  'ERR_EMBEDCORE_INVALID_CONFIG',
  'ERR_EMBEDCORE_INVALID_DATA',
  'ERR_EMBEDCORE_INVALID_FILE',
  'ERR_EMBEDCORE_INVALID_OPTION',
  'ERR_EMBEDCORE_INVALID_TEXT',
  'ERR_EMBEDCORE_MISSING_TENSOR',
  'ERR_EMBEDCORE_NATIVE_LOAD',
  'ERR_EMBEDCORE_NON_FINITE',
  'ERR_EMBEDCORE_NOT_FOUND',
  'ERR_EMBEDCORE_NO_RANGES',
  'ERR_EMBEDCORE_OUT_OF_MEMORY',
  'ERR_EMBEDCORE_QUEUE_FULL',
  'ERR_EMBEDCORE_SHAPE_MISMATCH',
  'ERR_EMBEDCORE_TEXT_TOO_LONG',
  'ERR_EMBEDCORE_THREAD_LIMIT',
  'ERR_EMBEDCORE_TOKENIZER_MISMATCH',
  'ERR_EMBEDCORE_UNKNOWN_OPTION',
  'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
  'ERR_EMBEDCORE_UNSUPPORTED_MODULE',
  'ERR_EMBEDCORE_WRITE_FAILED',
] as const

export type ErrorCode = (typeof ERROR_CODES)[number]

/** The one error class of the package. `cause` is the underlying error, if there is one. */
export class EmbedCoreError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = code === 'ERR_EMBEDCORE_ABORTED' ? 'AbortError' : 'EmbedCoreError'
    this.code = code
  }
}

/**
 * Turns whatever the native addon or a library threw into an `EmbedCoreError`. Native errors already have the `code`; a
 * new error is created so that its stack is the caller's.
 */
export function toEmbedCoreError(error: unknown, fallback: ErrorCode = 'ERR_EMBEDCORE_INTERNAL'): EmbedCoreError {
  if (error instanceof EmbedCoreError) return error
  const { code, message } = (typeof error === 'object' && error !== null ? error : {}) as {
    code?: unknown
    message?: unknown
  }
  const known = ERROR_CODES.find((candidate) => candidate === code)
  if (known === undefined && isOutOfMemory(error))
    return new EmbedCoreError('ERR_EMBEDCORE_OUT_OF_MEMORY', `No memory for the call: ${String(message)}`, {
      cause: error,
    })
  return new EmbedCoreError(known ?? fallback, typeof message === 'string' ? message : String(error), { cause: error })
}

/**
 * A copy of the error whose stack leads to the caller who awaits it. The original may be shared by several callers, or
 * may have been created before anybody waited.
 */
export function withOwnStack(error: unknown): EmbedCoreError {
  const { code, message, cause } = toEmbedCoreError(error)
  return new EmbedCoreError(code, message, { cause: cause ?? error })
}

/**
 * V8 reports a typed array that it cannot allocate, or a string that is too long, as a bare RangeError; node-addon-api,
 * memory that it cannot have for itself, as an Error of this message.
 */
function isOutOfMemory(error: unknown): boolean {
  if (error instanceof RangeError)
    return /allocation failed|Invalid (typed )?array length|Invalid string length/i.test(error.message)
  return error instanceof Error && error.message === 'std::bad_alloc'
}
