/** Calls of the addon as promises. */
import { abortError } from '../core/abort.js'
import type { RawTask } from '../core/binding.js'
import { toEmbedCoreError } from '../core/errors.js'

type Begin<T> = (done: (error: Error | null, result?: T) => void) => RawTask

/** Awaits a call. The error is made after the await, so that its stack is the caller's. */
export async function nativeCall<T = void>(begin: Begin<T>, signal?: AbortSignal | null): Promise<T> {
  if (signal?.aborted === true) throw abortError(signal)
  let abort = (): void => undefined
  try {
    return await new Promise<T>((resolve, reject) => {
      const task = begin((error, result) => (error === null ? resolve(result as T) : reject(error)))
      abort = () => task.abort()
      signal?.addEventListener('abort', abort, { once: true })
    })
  } catch (failure) {
    const error = toEmbedCoreError(failure)
    throw error.code === 'ERR_EMBEDCORE_ABORTED' ? abortError(signal) : error
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}
