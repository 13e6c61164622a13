/**
 * Writes result bytes to a file or to standard output. Every `write` waits until the bytes are taken (back-pressure). A
 * file is written under a temporary name in the same directory and renamed by `commit`, so that a failed run leaves no
 * file that looks complete.
 */
import { randomUUID } from 'node:crypto'
import { unlinkSync } from 'node:fs'
import { lstat, open, realpath, rename, unlink, type FileHandle } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { OutputError, ReaderGone, systemReason } from '../failures.js'

export interface Sink {
  write(bytes: Uint8Array | string): Promise<void>
  /** Gives the result its final name. */
  commit(): Promise<void>
  /** Removes what was written, if possible. Never throws. */
  discard(): Promise<void>
}

export class StreamSink implements Sink {
  #failure: Error | null = null

  constructor(readonly stream: Writable) {
    // The listener stays attached, because a pipe may report its end after the last write.
    stream.on('error', (error) => (this.#failure ??= error))
  }

  async write(bytes: Uint8Array | string): Promise<void> {
    if (this.#failure === null && (this.stream.destroyed || this.stream.writableEnded)) throw new ReaderGone()
    if (this.#failure === null) {
      await new Promise<void>((resolve) => {
        this.stream.write(bytes, (error) => {
          if (error) this.#failure ??= error
          resolve()
        })
      })
    }
    if (this.#failure === null) return
    const { code } = this.#failure as NodeJS.ErrnoException
    if (code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED') throw new ReaderGone()
    throw new OutputError(`cannot write to standard output: ${systemReason(this.#failure)}`, { cause: this.#failure })
  }

  async commit(): Promise<void> {}
  async discard(): Promise<void> {}
}

/** Unfinished files of this process, for the one exit without a `finally`: a second Ctrl-C. */
const unfinished = new Set<string>()

export function removeUnfinishedFiles(): void {
  for (const path of unfinished) {
    try {
      unlinkSync(path)
    } catch {
      // It does not exist any more, as intended.
    }
  }
  unfinished.clear()
}

export class FileSink implements Sink {
  private constructor(
    readonly path: string,
    readonly temporary: string,
    readonly handle: FileHandle,
  ) {}

  /** `mode`: permissions of the file, before the umask. */
  static async open(path: string, mode = 0o666): Promise<FileSink> {
    const goal = await regularGoal(path)
    const temporary = `${goal}.${process.pid}-${randomUUID().slice(0, 8)}.partial`
    try {
      const handle = await open(temporary, 'wx+', mode)
      unfinished.add(temporary)
      return new FileSink(goal, temporary, handle)
    } catch (error) {
      throw new OutputError(`cannot write ${path}: ${systemReason(error)}`, { cause: error })
    }
  }

  async write(bytes: Uint8Array | string): Promise<void> {
    try {
      await this.handle.writeFile(bytes)
    } catch (error) {
      throw new OutputError(`cannot write ${this.path}: ${systemReason(error)}`, { cause: error })
    }
  }

  /** Overwrites bytes at the start, for a header that is known only at the end. */
  async patch(bytes: Uint8Array): Promise<void> {
    await this.handle.write(bytes, 0, bytes.length, 0)
  }

  async commit(): Promise<void> {
    try {
      await this.handle.close()
      await rename(this.temporary, this.path)
      unfinished.delete(this.temporary)
    } catch (error) {
      await this.discard()
      throw new OutputError(`cannot write ${this.path}: ${systemReason(error)}`, { cause: error })
    }
  }

  async discard(): Promise<void> {
    if (!unfinished.delete(this.temporary)) return
    await this.handle.close().catch(() => undefined)
    await unlink(this.temporary).catch(() => undefined)
  }
}

/**
 * Renaming over a link or a device would replace it. So links are followed, and anything other than a file is refused.
 */
async function regularGoal(path: string): Promise<string> {
  try {
    const goal = await realpath(path)
    if (!(await lstat(goal)).isFile())
      throw new OutputError(
        `cannot write ${path}: it exists and is not a file (to write to standard output, leave out --out)`,
      )
    return goal
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return path
    if (error instanceof OutputError) throw error
    throw new OutputError(`cannot write ${path}: ${systemReason(error)}`, { cause: error })
  }
}
