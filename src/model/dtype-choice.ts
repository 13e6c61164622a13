/**
 * `dtype: 'auto'`: the fastest arithmetic that keeps cosine to float32 at 0.9999 or better, for one model on one
 * machine. It is measured once and remembered, in this process and in the user's cache. Simultaneous loads of the same
 * model share one measurement.
 */
import { withOwnStack } from '../core/errors.js'
import type { Dtype } from '../core/names.js'
import type { DtypeChoice } from './info.js'
import { fastestFaithful, measureDtypes, type OpenForMeasuring } from './dtype-measure.js'
import { recall, remember } from './dtype-memory.js'
import { abortError } from '../core/abort.js'

export interface ChosenDtype extends DtypeChoice {
  readonly dtype: Dtype
}

interface Choosing {
  readonly result: Promise<ChosenDtype>
  /** Aborts the measurement. */
  readonly controller: AbortController
  waiting: number
  finished: boolean
}

const choices = new Map<string, Choosing>()

/**
 * `key` names model and machine (`choiceKey`). A caller may abort its wait; the measurement continues while another
 * caller waits for it.
 */
export async function chooseDtype(
  key: string,
  open: OpenForMeasuring,
  signal: AbortSignal | null,
): Promise<ChosenDtype> {
  if (signal?.aborted === true) throw abortError(signal)
  const known = choices.get(key)
  if (known?.finished === true) return { ...(await known.result), remembered: true }
  const choosing = known ?? begin(key, open)
  choosing.waiting++
  try {
    return await unlessAborted(choosing.result, signal)
  } catch (error) {
    throw withOwnStack(error)
  } finally {
    choosing.waiting--
    if (choosing.waiting === 0 && !choosing.finished) {
      choosing.controller.abort()
      forget(key, choosing)
    }
  }
}

function begin(key: string, open: OpenForMeasuring): Choosing {
  const controller = new AbortController()
  const choosing: Choosing = { result: choose(key, open, controller.signal), controller, waiting: 0, finished: false }
  choices.set(key, choosing)
  choosing.result.then(
    () => (choosing.finished = true),
    () => forget(key, choosing),
  )
  return choosing
}

/** A failure or an abort is not remembered: the next load tries again. */
function forget(key: string, choosing: Choosing): void {
  if (choices.get(key) === choosing) choices.delete(key)
}

async function choose(key: string, open: OpenForMeasuring, signal: AbortSignal): Promise<ChosenDtype> {
  const known = await recall(key)
  if (known !== null) return { ...known, remembered: true }
  const measured = await measureDtypes(open, signal)
  const dtype = fastestFaithful(measured)
  await remember(key, { dtype, measured })
  return { dtype, measured, remembered: false }
}

async function unlessAborted<T>(result: Promise<T>, signal: AbortSignal | null): Promise<T> {
  if (signal === null) return result
  let stop!: () => void
  const aborted = new Promise<never>((_, reject) => (stop = () => reject(abortError(signal))))
  signal.addEventListener('abort', stop, { once: true })
  try {
    return await Promise.race([result, aborted])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
