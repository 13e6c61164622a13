/**
 * One model's folder in the hub cache, with the layout of huggingface_hub (Python), so that each uses the files that
 * the other wrote:
 *
 *     <cache>/models--org--name/blobs/<etag>                      contents; <etag>.embedcore.incomplete while they come
 *                               snapshots/<commit>/<file>         -> ../../blobs/<etag>
 *                               refs/<revision>                   the commit of a branch or tag
 *                               .no_exist/<commit>/<file>         empty: the commit has no such file
 *                               trees/<commit>.json               all files of the commit (Python writes it, this only
 *                               reads)
 *     <cache>/.locks/models--org--name/
 *
 * `trees` is not written here, because Python would then treat a snapshot without the repository's other files as
 * broken.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { copyFile, link, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'

export const COMMIT = /^[0-9a-f]{40}$/

/** A file of a commit. `etag` identifies its contents: sha256 for large files, git's blob id (sha1) for others. */
export interface RepoFile {
  readonly path: string
  readonly size: number
  readonly etag: string | undefined
}

/** Size in bytes of what `path` leads to, or undefined if there is no such file. */
export async function fileSize(path: string): Promise<number | undefined> {
  try {
    const found = await stat(path)
    return found.isFile() ? found.size : undefined
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

export class RepoCache {
  readonly folder: string
  private readonly locks: string

  constructor(
    readonly cacheDir: string,
    readonly repository: string,
    private readonly symlinks = true,
  ) {
    const name = `models--${repository.replaceAll('/', '--')}`
    this.folder = join(cacheDir, name)
    this.locks = join(cacheDir, '.locks', name)
  }

  blob(etag: string): string {
    return join(this.folder, 'blobs', etag)
  }

  /**
   * The name differs from Python's, because older versions append to <etag>.incomplete under a lock that Node cannot
   * see.
   */
  incomplete(etag: string): string {
    return `${this.blob(etag)}.embedcore.incomplete`
  }

  /** Whether a download into this folder by any program is running or was interrupted. */
  async hasIncomplete(): Promise<boolean> {
    try {
      return (await readdir(join(this.folder, 'blobs'))).some((name) => name.endsWith('.incomplete'))
    } catch (error) {
      if (isMissing(error)) return false
      throw error
    }
  }

  /**
   * Python's lock is `<etag>.lock`, held by flock(2), which Node lacks. This lock is another file, which exists while
   * it is held.
   */
  lock(etag: string): string {
    return join(this.locks, `${etag}.embedcore.lock`)
  }

  snapshot(commit: string): string {
    return join(this.folder, 'snapshots', commit)
  }

  pointer(commit: string, path: string): string {
    return join(this.snapshot(commit), path)
  }

  async readRef(revision: string): Promise<string | undefined> {
    const text = (await readIfThere(join(this.folder, 'refs', revision)))?.trim()
    return text !== undefined && COMMIT.test(text) ? text : undefined
  }

  /** Points a branch or tag at a commit whose files are all in the cache. */
  async writeRef(revision: string, commit: string): Promise<void> {
    if (revision === commit || (await this.readRef(revision)) === commit) return
    await onlyIfWritable(() => replaceFile(join(this.folder, 'refs', revision), (path) => writeFile(path, commit)))
  }

  async markAbsent(commit: string, path: string): Promise<void> {
    if (await this.isMarkedAbsent(commit, path)) return
    const marker = join(this.folder, '.no_exist', commit, path)
    await onlyIfWritable(async () => {
      await mkdir(dirname(marker), { recursive: true })
      await writeFile(marker, '')
    })
  }

  async isMarkedAbsent(commit: string, path: string): Promise<boolean> {
    return (await fileSize(join(this.folder, '.no_exist', commit, path))) !== undefined
  }

  /** Creates snapshots/<commit>/<path> for the blob: a relative link, else a hard link, else a copy. */
  async linkBlob(etag: string, commit: string, path: string): Promise<void> {
    const blob = this.blob(etag)
    const pointer = this.pointer(commit, path)
    await replaceFile(pointer, async (temporary) => {
      if (this.symlinks) {
        try {
          return await symlink(relative(dirname(pointer), blob), temporary)
        } catch (error) {
          if (!isRefused(error)) throw error
        }
      }
      try {
        await link(blob, temporary)
      } catch (error) {
        if (!isRefused(error)) throw error
        await copyFile(blob, temporary, constants.COPYFILE_FICLONE)
      }
    })
  }

  /** Files of the snapshot that exist, as paths with slashes. */
  async listSnapshot(commit: string): Promise<string[]> {
    const root = this.snapshot(commit)
    const files: string[] = []
    const walk = async (folder: string): Promise<void> => {
      for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
        const path = folder === '' ? entry.name : `${folder}/${entry.name}`
        if (entry.isDirectory()) await walk(path)
        else if ((await fileSize(join(root, path))) !== undefined) files.push(path)
      }
    }
    try {
      await walk('')
    } catch (error) {
      if (!isMissing(error)) throw error
    }
    return files
  }

  /** The listing of this commit that Python stored, if there is a valid one. */
  async readTree(commit: string): Promise<RepoFile[] | undefined> {
    const text = await readIfThere(join(this.folder, 'trees', `${commit}.json`))
    if (text === undefined) return undefined
    try {
      const { format_version: version, files } = JSON.parse(text) as {
        format_version: unknown
        files: Record<string, Record<string, unknown>>
      }
      if (version !== 1) return undefined
      return Object.entries(files).map(([path, { size, blob_id: blobId, lfs_sha256: sha256, xet_hash: xet }]) => {
        if (typeof size !== 'number') throw new TypeError('no size')
        const etag = sha256 ?? (xet === undefined ? blobId : undefined)
        return { path, size, etag: typeof etag === 'string' ? etag : undefined }
      })
    } catch {
      return undefined // Query the hub again, as Python does with a listing that it cannot read.
    }
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code
}

function isMissing(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(codeOf(error) ?? '')
}

/** Links need a permission on Windows, and some file systems do not have them. */
function isRefused(error: unknown): boolean {
  return ['EPERM', 'EACCES', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'EMLINK', 'EXDEV', 'UNKNOWN'].includes(
    codeOf(error) ?? '',
  )
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (isMissing(error) || codeOf(error) === 'EISDIR') return undefined
    throw error
  }
}

/** Failing to write refs and markers is not an error, because a complete cache on a read-only disk must stay usable. */
async function onlyIfWritable(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!['EROFS', 'EACCES', 'EPERM'].includes(codeOf(error) ?? '')) throw error
  }
}

/** Writes under another name and renames, so that readers see either the old file or the complete new one. */
async function replaceFile(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const temporary = `${path}.${randomBytes(4).toString('hex')}.tmp`
  try {
    await write(temporary)
    await rename(temporary, path)
  } finally {
    await rm(temporary, { force: true })
  }
}
