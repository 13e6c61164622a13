/** A run under way: awaited for its result, iterated for its events. */
import { EmbedCoreError } from '../core/errors.js'
import type { TrainingEvent, TrainResult } from './types.js'

/** Events that wait for a slow reader before the run waits for it too. */
const MOST_WAITING = 10_000

class Reader<E> implements AsyncIterableIterator<E> {
  private readonly waiting: E[] = []
  private wake: (() => void) | null = null
  private taken: (() => void) | null = null
  private end: { error: unknown } | 'done' | null = null

  constructor(private readonly leave: (reader: Reader<E>) => void) {}

  /** Settles when there is room for the next event. */
  async put(event: E): Promise<void> {
    this.waiting.push(event)
    this.wake?.()
    while (this.waiting.length >= MOST_WAITING && this.end === null)
      await new Promise<void>((resolve) => (this.taken = resolve))
  }

  finish(end: { error: unknown } | 'done'): void {
    this.end ??= end
    this.wake?.()
    this.taken?.()
  }

  async next(): Promise<IteratorResult<E>> {
    for (;;) {
      const event = this.waiting.shift()
      this.taken?.()
      if (event !== undefined) return { done: false, value: event }
      if (this.end === 'done') return { done: true, value: undefined }
      if (this.end !== null) {
        const { error } = this.end
        this.end = 'done'
        throw error
      }
      await new Promise<void>((resolve) => (this.wake = resolve))
    }
  }

  async return(): Promise<IteratorResult<E>> {
    this.waiting.length = 0
    this.finish('done')
    this.leave(this)
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

/** The work of a run: emits its events, ends when the signal is aborted. */
export type Work<E = TrainingEvent, R = TrainResult> = (
  emit: (event: E) => Promise<void>,
  signal: AbortSignal,
) => Promise<R>

/**
 * A run of train. `await run` gives its result. `for await (const event of run)` gives its events, from the moment the
 * loop begins; leaving the loop leaves the run as it is. The run begins by itself.
 */
export class TrainingRun<E = TrainingEvent, R = TrainResult> implements PromiseLike<R>, AsyncIterable<E> {
  private readonly readers = new Set<Reader<E>>()
  private readonly stop = new AbortController()
  private readonly result: Promise<R>
  private ended: { error: unknown } | 'done' | null = null

  /** @internal */
  constructor(work: Work<E, R>, signal: AbortSignal | null) {
    const abort = (): void => this.stop.abort(signal?.reason)
    if (signal?.aborted === true) abort()
    signal?.addEventListener('abort', abort, { once: true })
    // In a later turn, so that a loop that begins at once misses nothing.
    this.result = new Promise((resolve, reject) => {
      setImmediate(() => {
        work((event) => this.emit(event), this.stop.signal)
          .then(
            (result) => {
              this.finish('done')
              resolve(result)
            },
            (error: unknown) => {
              this.finish({ error })
              reject(error as Error)
            },
          )
          .finally(() => signal?.removeEventListener('abort', abort))
      })
    })
  }

  /** Ends the run between two parts of a step, with a checkpoint; it rejects with ERR_EMBEDCORE_ABORTED. */
  abort(reason?: unknown): void {
    this.stop.abort(reason)
  }

  then<A = R, B = never>(
    fulfilled?: ((result: R) => A | PromiseLike<A>) | null,
    rejected?: ((error: EmbedCoreError) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.result.then(fulfilled, rejected)
  }

  catch<B = never>(rejected?: ((error: EmbedCoreError) => B | PromiseLike<B>) | null): Promise<R | B> {
    return this.result.catch(rejected)
  }

  finally(settled?: (() => void) | null): Promise<R> {
    return this.result.finally(settled)
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<E> {
    // The loop gets the error; whoever has only a loop needs no other handler.
    this.result.catch(() => undefined)
    const reader = new Reader<E>((one) => this.readers.delete(one))
    this.readers.add(reader)
    if (this.ended !== null) reader.finish(this.ended)
    return reader
  }

  private async emit(event: E): Promise<void> {
    await Promise.all([...this.readers].map((reader) => reader.put(event)))
  }

  private finish(end: { error: unknown } | 'done'): void {
    this.ended = end
    for (const reader of this.readers) reader.finish(end)
  }
}
