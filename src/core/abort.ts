import { EmbedCoreError } from './errors.js'

/** The error of a call whose signal was aborted; the signal's reason is its cause. */
export function abortError(signal: AbortSignal | null | undefined): EmbedCoreError {
  return new EmbedCoreError('ERR_EMBEDCORE_ABORTED', 'The call was aborted', { cause: signal?.reason })
}

/**
 * Runs work of several parts. `stop` is aborted with `signal` and when the work has ended, so that no part outlives it.
 * A failure after an abort is the abort; any other becomes what `wrap` makes of it.
 */
export async function stoppable<T>(
  signal: AbortSignal | null | undefined,
  work: (stop: AbortController) => Promise<T>,
  wrap: (error: unknown) => unknown,
): Promise<T> {
  const stop = new AbortController()
  const abort = (): void => stop.abort(signal?.reason)
  const isAborted = (): boolean => signal?.aborted === true
  if (isAborted()) throw abortError(signal)
  signal?.addEventListener('abort', abort, { once: true })
  try {
    return await work(stop)
  } catch (error) {
    throw isAborted() ? abortError(signal) : wrap(error)
  } finally {
    signal?.removeEventListener('abort', abort)
    stop.abort()
  }
}
