/**
 * Downloads one file of a commit into the cache. Bytes go to blobs/<etag>.embedcore.incomplete. After a lost
 * connection, an abort or a crash the next call continues that file with `Range`. Size and checksum of the whole file
 * are checked before it gets its name.
 */
import { createHash, type Hash } from 'node:crypto'
import { constants } from 'node:fs'
import { mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'

import { abortError } from '../core/abort.js'
import { EmbedCoreError } from '../core/errors.js'
import { fileSize, type RepoCache, type RepoFile } from './cache.js'
import { ATTEMPTS, HubFailure, type HubHttp } from './http.js'
import { withLock } from './lock.js'
import type { HubOptions } from './types.js'

const PROGRESS_EVERY_MS = 50

export interface FileSource {
  readonly http: HubHttp
  readonly cache: RepoCache
  readonly commit: string
  readonly onProgress: HubOptions['onProgress']
}

/** A file whose contents are identified by a hash or etag. */
type NamedFile = RepoFile & { readonly etag: string }

/** Makes snapshots/<commit>/<path> exist, by download if necessary. */
export async function ensureFile(source: FileSource, file: RepoFile): Promise<void> {
  const { cache, commit, http } = source
  if ((await fileSize(cache.pointer(commit, file.path))) === file.size) return
  const named = await nameContents(source, file)
  const ready = async (): Promise<true | undefined> =>
    (await fileSize(cache.blob(named.etag))) === named.size ? true : undefined
  if ((await ready()) === undefined) {
    const work = async (): Promise<true> => {
      await download(source, named)
      return true
    }
    try {
      await withLock(cache.lock(named.etag), { ready, work, signal: http.signal })
    } catch (error) {
      if (http.signal?.aborted) throw abortError(http.signal)
      throw error
    }
  }
  await cache.linkBlob(named.etag, commit, file.path)
}

function addressOf({ http, cache, commit }: FileSource, path: string): string {
  const file = path.split('/').map(encodeURIComponent).join('/')
  return `${http.settings.endpoint}/${cache.repository}/resolve/${commit}/${file}`
}

/**
 * The listing of the public hub has an etag for every file. That of a mirror may not, and then the file's own headers
 * are requested.
 */
async function nameContents(source: FileSource, file: RepoFile): Promise<NamedFile> {
  let { etag, size } = file
  if (etag === undefined) {
    const { http } = source
    const headers = await http.retrying(ATTEMPTS, async () => {
      const answer = await http.request(addressOf(source, file.path), {
        method: 'HEAD',
        headers: { 'accept-encoding': 'identity' },
        stayOnOrigin: true,
      })
      answer.close()
      return answer.headers
    })
    etag = (headers.get('x-linked-etag') ?? headers.get('etag') ?? '').replace(/^W\//, '').replaceAll('"', '')
    size = Number(headers.get('x-linked-size') ?? size)
  }
  if (!/^[\w.-]{1,128}$/.test(etag) || etag.startsWith('.') || !Number.isSafeInteger(size) || size < 0) {
    throw new HubFailure(`it gives "${file.path}" no usable name and size of its contents`, 400)
  }
  return { path: file.path, size, etag }
}

/**
 * sha256 for large files, git's blob hash for small ones; with other etags of a mirror, only the size can be checked.
 */
function startHash({ etag, size }: NamedFile): Hash | undefined {
  if (/^[0-9a-f]{64}$/.test(etag)) return createHash('sha256')
  if (/^[0-9a-f]{40}$/.test(etag)) return createHash('sha1').update(`blob ${size}\0`)
  return undefined
}

/** The partial file, with the hash of its contents. Writes are by position, so a second writer does no harm. */
class PartialFile {
  position = 0
  private hash: Hash | undefined

  constructor(
    private readonly handle: FileHandle,
    private readonly file: NamedFile,
  ) {
    this.hash = startHash(file)
  }

  /** Continues from the bytes of an earlier download. */
  async resume(signal: AbortSignal | undefined): Promise<void> {
    const { size } = await this.handle.stat()
    if (size > this.file.size) return this.handle.truncate(0)
    const buffer = Buffer.allocUnsafe(2 ** 20)
    while (this.position < size) {
      if (signal?.aborted) throw abortError(signal)
      const { bytesRead } = await this.handle.read(buffer, 0, buffer.length, this.position)
      if (bytesRead === 0) return
      this.hash?.update(buffer.subarray(0, bytesRead))
      this.position += bytesRead
    }
  }

  /** Starts again without truncating the file, because another holder of the lock may just have finished it. */
  reset(): void {
    this.position = 0
    this.hash = startHash(this.file)
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      done += (await this.handle.write(bytes, done, bytes.length - done, this.position + done)).bytesWritten
    }
    this.hash?.update(bytes)
    this.position += bytes.length
  }

  /** Call once, at the end. */
  matches(): boolean {
    return this.position === this.file.size && (this.hash === undefined || this.hash.digest('hex') === this.file.etag)
  }
}

async function download(source: FileSource, file: NamedFile): Promise<void> {
  const { cache, http } = source
  const blob = cache.blob(file.etag)
  const incomplete = cache.incomplete(file.etag)
  await mkdir(dirname(blob), { recursive: true })
  for (;;) {
    const handle = await open(incomplete, constants.O_RDWR | constants.O_CREAT)
    let resumed: boolean
    let whole: boolean
    try {
      const partial = new PartialFile(handle, file)
      await partial.resume(http.signal)
      resumed = partial.position > 0
      await transfer(source, file, partial)
      whole = partial.matches()
      if (whole) await handle.datasync()
    } finally {
      await handle.close()
    }
    if (whole) return give(incomplete, blob, file.size)
    await rm(incomplete, { force: true })
    // A resumed file may contain wrong bytes of an earlier call, so it is downloaded again. A file that was downloaded
    // whole is not.
    if (!resumed) throw mismatch(source, file)
  }
}

function mismatch({ cache, commit, http }: FileSource, file: NamedFile): EmbedCoreError {
  return new EmbedCoreError(
    'ERR_EMBEDCORE_HUB_CHECKSUM',
    `Expected the ${file.size} bytes named ${file.etag} for "${file.path}" of "${cache.repository}" ` +
      `(commit ${commit}) but received other contents from ${http.settings.endpoint}, which were removed; ` +
      'try again, and if it happens again, something between here and the hub changes files',
  )
}

/** Another holder of the lock may have given the file its name first. */
async function give(incomplete: string, blob: string, size: number): Promise<void> {
  try {
    await rename(incomplete, blob)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || (await fileSize(blob)) !== size) throw error
  }
}

/**
 * Repeats requests until the last byte has arrived; gives up after ATTEMPTS failures without a new byte between them.
 */
async function transfer(source: FileSource, file: NamedFile, partial: PartialFile): Promise<void> {
  const { http } = source
  const report = progressOf(source, file)
  report(partial.position)
  let failures = 0
  while (partial.position < file.size) {
    const before = partial.position
    let failure: HubFailure
    try {
      await requestRest(source, file, partial, report)
      failure = new HubFailure(`the connection ended at byte ${partial.position} of ${file.size} of "${file.path}"`, 0)
    } catch (error) {
      if (!(error instanceof HubFailure) || !error.transient) throw error
      failure = error
    }
    if (partial.position >= file.size) break
    failures = partial.position > before ? 1 : failures + 1
    if (failures >= ATTEMPTS) throw failure
    await http.pause(failures, failure)
  }
  report(file.size, true)
}

async function requestRest(
  source: FileSource,
  file: NamedFile,
  partial: PartialFile,
  report: (loaded: number) => void,
): Promise<void> {
  // Bytes are counted and requested by range, so they must not be compressed.
  const headers: Record<string, string> = { 'accept-encoding': 'identity' }
  if (partial.position > 0) headers['range'] = `bytes=${partial.position}-`
  let answer
  try {
    answer = await source.http.request(addressOf(source, file.path), { headers })
  } catch (error) {
    if (error instanceof HubFailure && error.status === 416) {
      partial.reset()
      throw new HubFailure(
        `${error.message} to a request for the rest of "${file.path}"`,
        0,
        undefined,
        undefined,
        undefined,
        error,
      )
    }
    throw error
  }
  try {
    if (partial.position > 0 && !continuesAt(answer.headers.get('content-range'), partial.position, file.size)) {
      if (answer.status === 206)
        throw new HubFailure(
          `the range asked of "${file.path}" was answered with another (${answer.headers.get('content-range')})`,
          0,
        )
      partial.reset() // The server does not support ranges and sends the whole file.
    }
    const length = answer.headers.get('content-length')
    if (length !== null && !answer.headers.has('content-encoding') && Number(length) !== file.size - partial.position) {
      throw new HubFailure(
        `${length} bytes were offered where ${file.size - partial.position} of "${file.path}" are missing`,
        400,
      )
    }
    for await (const chunk of answer.chunks()) {
      if (partial.position + chunk.length > file.size) {
        partial.reset()
        throw new HubFailure(`more than the ${file.size} bytes of "${file.path}" came`, 0)
      }
      await partial.append(chunk)
      report(partial.position)
    }
  } finally {
    answer.close()
  }
}

function continuesAt(range: string | null, position: number, size: number): boolean {
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(range ?? '') ?? []
  return Number(start) === position && (total === '*' || Number(total) === size)
}

function progressOf({ onProgress }: FileSource, file: NamedFile): (loaded: number, last?: boolean) => void {
  let reportedAt = -Infinity
  return (loaded, last = false) => {
    const now = performance.now()
    if (onProgress === undefined || (!last && (loaded === file.size || now - reportedAt < PROGRESS_EVERY_MS))) return
    reportedAt = now
    onProgress({ file: file.path, loaded, total: file.size })
  }
}
