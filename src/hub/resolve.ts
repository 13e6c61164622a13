/**
 * Finds the directory of a model: a path, or an id of the Hugging Face hub, whose files are kept in the cache that
 * huggingface_hub (Python) uses too. The network is not used with `offline` and for a cached commit; while the hub
 * cannot be reached, a cached branch or tag is used with a warning.
 *
 * Commits and listings are requested through @huggingface/hub. Files are downloaded by download.ts, because the client
 * does not resume, compare checksums, lock, report progress or stop on a signal.
 */
import { readFile, stat } from 'node:fs/promises'
import { isAbsolute, join, resolve } from 'node:path'

import { abortError } from '../core/abort.js'
import { EmbedCoreError } from '../core/errors.js'
import type { JsonValue } from '../core/json-file.js'
import { isPlainRelativePath } from '../core/module-list.js'
import { clip, reason, show } from '../core/show.js'
import { COMMIT, fileSize, RepoCache, type RepoFile } from './cache.js'
import { ensureFile } from './download.js'
import { expandHome, hubSettings, type HubSettings } from './environment.js'
import { planFiles } from './files.js'
import { ATTEMPTS, describeFailure, HubFailure, HubHttp } from './http.js'
import type { HubOptions } from './types.js'

const FILES_AT_ONCE = 4
const MOST_FILES = 200_000
const MOST_PAGES = 1_000
const LARGEST_JSON = 64 * 2 ** 20

/** The absolute directory of the model. */
export async function resolveModel(pathOrHubId: string, options: HubOptions = {}): Promise<string> {
  if (options.signal?.aborted) throw abortError(options.signal)
  if (typeof pathOrHubId !== 'string' || pathOrHubId === '') {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected the path of a directory or a hub id for the model but received ${show(pathOrHubId)}`,
    )
  }
  const path = resolve(expandHome(pathOrHubId))
  const kind = await kindOf(path)
  if (kind === 'directory') return path
  if (kind === 'file')
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_NOT_FOUND',
      `Expected the directory that holds the model's files but received the file ${show(pathOrHubId)}`,
    )
  if (/^(?:\.{0,2}[/\\]|~|\.{1,2}$)/.test(pathOrHubId) || isAbsolute(pathOrHubId)) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_NOT_FOUND',
      `Expected the path of a directory for the model but received ${show(pathOrHubId)}: ` +
        `there is no directory ${path}`,
    )
  }
  if (!isHubId(pathOrHubId)) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_NOT_FOUND',
      `Expected the path of a directory or a hub id for the model but received ${show(pathOrHubId)}: ` +
        `there is no directory ${clip(path, 200)}, and a hub id is "name" or "organisation/name" ` +
        'of at most 96 letters, digits, "-", "_" and "." each',
    )
  }
  return fromHub(pathOrHubId, options)
}

async function kindOf(path: string): Promise<'directory' | 'file' | undefined> {
  try {
    return (await stat(path)).isDirectory() ? 'directory' : 'file'
  } catch {
    return undefined // Also for a name that cannot be a path, such as one with a NUL.
  }
}

/** The rules of huggingface_hub's validate_repo_id. */
function isHubId(id: string): boolean {
  return (
    /^(?:\w(?:[\w.-]{0,94}\w)?\/)?\w(?:[\w.-]{0,94}\w)?$/.test(id) &&
    !id.includes('--') &&
    !id.includes('..') &&
    !id.endsWith('.git')
  )
}

async function fromHub(repository: string, options: HubOptions): Promise<string> {
  const revision = options.revision ?? 'main'
  if (!isPlainRelativePath(revision)) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected a branch, tag or commit for revision but received ${show(revision)}`,
    )
  }
  const settings = await hubSettings(options)
  const cache = new RepoCache(settings.cacheDir, repository, settings.symlinks)
  try {
    const commit = COMMIT.test(revision) ? revision : await cache.readRef(revision)
    const kept: Cached =
      commit === undefined ? { missing: `nothing of revision "${revision}"` } : await cachedSnapshot(cache, commit)
    if (settings.offline) {
      if (kept.directory !== undefined) return kept.directory
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_HUB_OFFLINE',
        `Expected a complete copy of "${repository}" for offline use but found ${kept.missing} in the cache ` +
          `${settings.cacheDir}, and no directory of that name; load it once with network, or run ` +
          `\`hf download ${repository}\``,
      )
    }
    if (kept.directory !== undefined && commit === revision) return kept.directory
    return await online(cache, revision, kept.directory, new HubHttp(settings, options.signal), options)
  } catch (error) {
    if (error instanceof HubFailure) throw describeFailure(error, repository, revision, settings)
    if (error instanceof EmbedCoreError || !isSystemError(error)) throw error
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_HUB',
      `The files of "${repository}" could not be kept in the hub cache ${settings.cacheDir}: ${error.message}; ` +
        'set cacheDir or HF_HUB_CACHE to a directory that can be written and has room',
      { cause: error },
    )
  }
}

/** Whether the error comes from the file system, and not from `onProgress`. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && 'syscall' in error
}

type Cached = { directory: string; missing?: undefined } | { directory?: undefined; missing: string }

/**
 * Whether all files of a commit that an encoder needs are in the cache. A snapshot may be unfinished, or may come from
 * a program that does not download modules.json; using it would load another model than the one in the repository.
 */
async function cachedSnapshot(cache: RepoCache, commit: string): Promise<Cached> {
  const tree = await cache.readTree(commit)
  const there = new Set(await cache.listSnapshot(commit))
  const directory = cache.snapshot(commit)
  const missing = (what: string): Cached => ({ missing: `${what} of commit ${commit}` })
  if (there.size === 0) return missing('no file')
  const paths = tree === undefined ? there : new Set(tree.map((file) => file.path))
  try {
    const plan = await planFiles(cache.repository, paths, (path) =>
      readJson(cache.repository, join(directory, path), path),
    )
    const lacking = [...plan.small, ...plan.weights].find((path) => !there.has(path))
    if (lacking !== undefined) return missing(`only a part (not ${lacking})`)
    if (tree !== undefined) return { directory }
    // Every repository of the hub has .gitattributes, and only a download of the whole repository fetches it.
    if (there.has('.gitattributes') && !(await cache.hasIncomplete())) return { directory }
    for (const path of plan.deciding) {
      if (!there.has(path) && !(await cache.isMarkedAbsent(commit, path)))
        return missing(`only a part (whether there is a ${path} is not known)`)
    }
    return { directory }
  } catch (error) {
    if (!(error instanceof EmbedCoreError) && (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return missing(`only a part (${(error as Error).message})`)
  }
}

async function online(
  cache: RepoCache,
  revision: string,
  kept: string | undefined,
  http: HubHttp,
  options: HubOptions,
): Promise<string> {
  const hub = await importClient()
  const { repository } = cache
  const hubUrl = http.settings.endpoint
  let commit = revision
  let files: RepoFile[]
  try {
    // If there is a cached copy, it is used after one failure.
    const fetch = http.fetchWithRetries(kept === undefined ? ATTEMPTS : 1, MOST_PAGES)
    if (!COMMIT.test(revision)) {
      const { sha } = await hub.modelInfo({ name: repository, revision, additionalFields: ['sha'], hubUrl, fetch })
      if (!COMMIT.test(sha)) throw new HubFailure(`it names ${JSON.stringify(sha)} as the commit of "${revision}"`, 400)
      commit = sha
      const cached = await cachedSnapshot(cache, commit)
      if (cached.directory !== undefined) {
        await cache.writeRef(revision, commit)
        return cached.directory
      }
    }
    files =
      (await cache.readTree(commit)) ??
      (await listFiles(hub, {
        repo: { type: 'model', name: repository },
        revision: commit,
        recursive: true,
        hubUrl,
        fetch,
      }))
  } catch (error) {
    if (error instanceof HubFailure && error.transient && kept !== undefined) {
      process.emitWarning(
        `The hub could not be asked for the newest "${repository}" (${error.message}); the cached ${kept} is used`,
        'EmbedCoreWarning',
      )
      return kept
    }
    if (error instanceof HubFailure || error instanceof EmbedCoreError || isSystemError(error)) throw error
    throw new HubFailure(
      `its answer was not understood (${(error as Error).message})`,
      400,
      undefined,
      undefined,
      undefined,
      error,
    )
  }
  const unsafe = files.find((file) => !isPlainRelativePath(file.path))
  if (unsafe !== undefined)
    throw new HubFailure(
      `it lists the file ${JSON.stringify(unsafe.path)}, which is not a plain path inside the repository`,
      400,
    )
  await fill(cache, commit, files, http.settings, options)
  await cache.writeRef(revision, commit)
  return cache.snapshot(commit)
}

type Client = typeof import('@huggingface/hub')

async function importClient(): Promise<Client> {
  try {
    return await import('@huggingface/hub')
  } catch (error) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_HUB',
      'Expected the package @huggingface/hub for a model of the hub but could not load it; ' +
        'npm i @huggingface/hub, or give the path of a directory',
      { cause: error },
    )
  }
}

async function listFiles(hub: Client, input: Parameters<Client['listFiles']>[0]): Promise<RepoFile[]> {
  const files: RepoFile[] = []
  for await (const entry of hub.listFiles(input)) {
    if (entry.type !== 'file') continue
    if (files.length === MOST_FILES) throw new HubFailure(`it lists more than ${MOST_FILES} files`, 400)
    files.push({
      path: entry.path,
      size: entry.lfs?.size ?? entry.size,
      etag: entry.lfs?.oid ?? (entry.xetHash === undefined ? entry.oid : undefined),
    })
  }
  return files
}

async function fill(
  cache: RepoCache,
  commit: string,
  files: RepoFile[],
  settings: HubSettings,
  options: HubOptions,
): Promise<void> {
  const byPath = new Map(files.map((file) => [file.path, file]))
  // The first failure stops the other downloads too; their partial files stay for the next call.
  const stop = new AbortController()
  const onAbort = (): void => stop.abort(options.signal?.reason)
  options.signal?.addEventListener('abort', onAbort, { once: true })
  if (options.signal?.aborted) onAbort()
  const source = { http: new HubHttp(settings, stop.signal), cache, commit, onProgress: options.onProgress }
  const fetchAll = async (paths: string[]): Promise<void> => {
    const queue = [...paths]
    let first: { error: unknown } | undefined
    const worker = async (): Promise<void> => {
      for (let path = queue.shift(); path !== undefined && first === undefined; path = queue.shift()) {
        try {
          await ensureFile(source, byPath.get(path)!)
        } catch (error) {
          first ??= { error }
          stop.abort(error)
        }
      }
    }
    await Promise.all(Array.from({ length: FILES_AT_ONCE }, worker))
    if (first !== undefined) throw (first as { error: unknown }).error
  }
  try {
    const plan = await planFiles(cache.repository, new Set(byPath.keys()), async (path) => {
      await ensureFile(source, byPath.get(path)!)
      return readJson(cache.repository, cache.pointer(commit, path), path)
    })
    await fetchAll(plan.small)
    for (const path of plan.deciding) if (!byPath.has(path)) await cache.markAbsent(commit, path)
    await fetchAll(plan.weights)
  } finally {
    options.signal?.removeEventListener('abort', onAbort)
  }
}

async function readJson(repository: string, file: string, path: string): Promise<JsonValue> {
  const size = await fileSize(file)
  if (size !== undefined && size > LARGEST_JSON)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_FILE',
      `Expected at most ${LARGEST_JSON} bytes for ${path} of the hub repository "${repository}" but found ${size}`,
    )
  // A byte order mark is passed over, as in directories.
  const text = (await readFile(file, 'utf8')).replace(/^\ufeff/, '')
  try {
    return JSON.parse(text) as JsonValue
  } catch (error) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_FILE',
      `Expected valid JSON in ${path} of the hub repository "${repository}" but found something else: ${reason(error)}`,
      { cause: error },
    )
  }
}
