/**
 * Lets one thread or process download a file: a lock file that exists while the lock is held and is touched every two
 * seconds. It only saves bandwidth. If two ever hold it (after a process was suspended for long), both write the same
 * bytes to the same positions, and each checks the whole file before it gets its name.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { HOST } from './environment.js'

const TOUCH_EVERY_MS = 2_000
/** A holder that has not touched its lock for this long, by the waiter's clock, is considered dead. */
const STALE_AFTER_MS = 20_000
const POLL_MS = 150

export interface LockInput<T> {
  /** Called before each try and while another holds the lock; a value ends the wait without the lock. */
  ready: () => Promise<T | undefined>
  work: () => Promise<T>
  signal?: AbortSignal
}

export async function withLock<T>(path: string, { ready, work, signal }: LockInput<T>): Promise<T> {
  const mine = `${HOST} ${process.pid} ${randomUUID()}`
  await mkdir(dirname(path), { recursive: true })
  let seen = { state: '', since: performance.now() }
  for (;;) {
    const value = await ready()
    if (value !== undefined) return value
    try {
      await writeFile(path, mine, { flag: 'wx' })
      break
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const holder = (await look(path)) ?? { owner: '', state: '' }
    if (holder.state !== seen.state) seen = { state: holder.state, since: performance.now() }
    const gone = ownerIsGone(holder.owner) || performance.now() - seen.since > STALE_AFTER_MS
    if (gone && (await look(path))?.state === holder.state) await rm(path, { force: true })
    else await sleep(POLL_MS, undefined, { signal })
  }
  const touch = setInterval(() => {
    const now = new Date()
    utimes(path, now, now).catch(() => undefined) // Another process has removed it: see the comment at the top.
  }, TOUCH_EVERY_MS)
  touch.unref()
  try {
    return (await ready()) ?? (await work())
  } finally {
    clearInterval(touch)
    if ((await look(path))?.owner === mine) await rm(path, { force: true })
  }
}

async function look(path: string): Promise<{ owner: string; state: string } | undefined> {
  try {
    const owner = await readFile(path, 'utf8')
    return { owner, state: `${owner} ${(await stat(path)).mtimeMs}` }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Only certain for a process of this machine that has ended. */
function ownerIsGone(owner: string): boolean {
  const [host, pid] = owner.split(' ')
  if (host !== HOST || !/^\d+$/.test(pid ?? '')) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}
