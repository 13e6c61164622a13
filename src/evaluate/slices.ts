/** Work on the event loop in short slices, so that timers, sockets and calls of other code are served in between. */
import { setImmediate } from 'node:timers/promises'
import { abortError } from '../core/abort.js'

/** What the loop may be held for; what runs between two looks at the clock comes on top of it. */
const SLICE_MS = 4

export class Slices {
  private begin = performance.now()

  constructor(private readonly signal: AbortSignal) {}

  /** Whether the slice has used its time. */
  get over(): boolean {
    return performance.now() - this.begin > SLICE_MS
  }

  /** Gives the loop back and begins the next slice. @throws ERR_EMBEDCORE_ABORTED */
  async next(): Promise<void> {
    if (this.signal.aborted) throw abortError(this.signal)
    await setImmediate()
    if (this.signal.aborted) throw abortError(this.signal)
    this.begin = performance.now()
  }
}

/** Steps of a loop between two looks at the clock, each a few nanoseconds. */
const STEPS = 1 << 14

/** Runs `step` for 0 to count - 1. For steps of a few nanoseconds. */
export async function eachInSlices(count: number, slices: Slices, step: (i: number) => void): Promise<void> {
  for (let start = 0; start < count; start += STEPS) {
    if (slices.over) await slices.next()
    const end = Math.min(count, start + STEPS)
    for (let i = start; i < end; i++) step(i)
  }
}
