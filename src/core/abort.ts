import { EmbedCoreError } from './errors.js'

/** The error of a call whose signal was aborted; the signal's reason is its cause. */
export function abortError(signal: AbortSignal | null | undefined): EmbedCoreError {
  return new EmbedCoreError('ERR_EMBEDCORE_ABORTED', 'The call was aborted', { cause: signal?.reason })
}
