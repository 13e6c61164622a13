/** One load for all callers, kept once it succeeds and tried again after a failure. */
import { withOwnStack } from '../core/errors.js'

/**
 * Calls `load` at the first call; later calls share its promise. A promise that fails is dropped, so that the next call
 * loads again. Only that promise is dropped: a caller who sees the failure late does not drop a newer load.
 */
export function sharedLoad<T>(load: () => Promise<T>): () => Promise<T> {
  let current: Promise<T> | null = null
  return async () => {
    const mine = (current ??= load())
    try {
      return await mine
    } catch (error) {
      if (current === mine) current = null
      throw withOwnStack(error)
    }
  }
}
