/** One load for all callers, kept once it succeeds and tried again after a failure. */
import { withOwnStack } from '../core/errors.js'

/**
 * `load` at the first call; later calls share its promise. A failure is forgotten by the promise that failed and by no
 * later one: of several callers who wait for it, none drops a load that another has begun since.
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
