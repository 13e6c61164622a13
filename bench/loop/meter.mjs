/**
 * Measures how long the event loop of this thread is blocked. A timer of one millisecond sets itself again at each
 * tick; the delay is the time between two ticks minus that millisecond.
 *
 * monitorEventLoopDelay is not used, because its histogram does not keep single delays and so cannot tell for how long
 * the thread had no core during the longest one. An idle loop has a delay of some tenths of a millisecond on a quiet
 * machine, because libuv counts timers in whole milliseconds; the control measures it.
 */
import { closeSync, openSync, readSync } from 'node:fs'

const TICK_MS = 1

/**
 * Nanoseconds that the main thread has waited for a core so far (Linux; elsewhere null). This time was taken by another
 * process or a worker; the rest of a delay is a callback that runs too long.
 */
function openWaitClock() {
  try {
    const file = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r')
    const buffer = Buffer.alloc(64)
    const read = () => Number(buffer.toString('latin1', 0, readSync(file, buffer, 0, 64, 0)).split(' ')[1])
    return { read, close: () => closeSync(file) }
  } catch {
    return { read: () => null, close: () => {} }
  }
}

export class LoopMeter {
  #clock = openWaitClock()
  #longest = { delayMs: 0, waitedMs: null }
  #ticks = 0
  #timer = null
  #onTick = null
  #last = 0
  #lastWait = null

  #tick() {
    const now = performance.now()
    const wait = this.#clock.read()
    const delayMs = now - this.#last - TICK_MS
    if (delayMs > this.#longest.delayMs)
      this.#longest = { delayMs, waitedMs: wait === null ? null : (wait - this.#lastWait) / 1e6 }
    this.#ticks++
    this.#last = now
    this.#lastWait = wait
    this.#onTick?.()
    this.#arm()
  }

  #arm() {
    this.#timer = setTimeout(() => this.#tick(), TICK_MS)
  }

  #nextTick() {
    return new Promise((resolve) => (this.#onTick = resolve)).then(() => (this.#onTick = null))
  }

  /** Resolves after the first tick; the time after it is measured. */
  async start() {
    this.#last = performance.now()
    this.#lastWait = this.#clock.read()
    this.#arm()
    await this.#nextTick()
    this.#longest = { delayMs: 0, waitedMs: this.#clock.read() === null ? null : 0 }
    this.#ticks = 0
  }

  /** Resolves after one more tick. Returns { delayMs, waitedMs, ticks } of the longest gap. */
  async stop() {
    await this.#nextTick()
    clearTimeout(this.#timer)
    this.#clock.close()
    return { ...this.#longest, ticks: this.#ticks }
  }
}

/** Measures `task`. Returns { longest, seconds, value }; a task that fails rejects. */
export async function measureLoop(task) {
  const meter = new LoopMeter()
  await meter.start()
  const start = performance.now()
  const value = await task()
  const seconds = (performance.now() - start) / 1000
  return { longest: await meter.stop(), seconds, value }
}
