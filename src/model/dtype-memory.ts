/**
 * Where the choices of `dtype: 'auto'` are remembered: one small JSON file in the user's cache. The file only saves
 * time. If it cannot be read or written, nothing fails; a broken file is replaced; and if two processes write at the
 * same time, one of them may have to measure again.
 */
import { createHash, randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import path from 'node:path'
import { homeDirectory } from '../core/home.js'
import { type Dtype, DTYPES } from '../core/names.js'
import type { DtypeMeasurement } from './info.js'
import type { ModelDescription } from './directory.js'

export interface RememberedDtype {
  readonly dtype: Dtype
  readonly measured: readonly DtypeMeasurement[]
}

const FILE = 'dtype-choices.json'
/** Entries of changed or deleted models stay in the file; beyond this number the oldest are removed. */
const MOST_ENTRIES = 256

/** What the speed and the arithmetic depend on: the machine, and the version of the package. */
export interface Machine {
  version: string
  isa: string
  threads: number
}

/**
 * Names a model on a machine. The key changes, and the model is measured again, after an update, on other hardware,
 * with another number of threads, or when a file has changed.
 */
export async function choiceKey(
  { version, isa, threads }: Machine,
  { weights, adapter, modules, layerWeights, pooling, dimensions }: ModelDescription,
): Promise<string> {
  const directories = new Set([
    weights,
    ...(adapter === null ? [] : [adapter.directory]),
    ...modules.flatMap((module) => ('directory' in module ? [module.directory] : [])),
    ...(layerWeights === null ? [] : [layerWeights.directory]),
  ])
  const files = (await Promise.all([...directories].map(stateOfFiles))).flat()
  return createHash('sha256')
    .update(JSON.stringify([version, isa, cpus()[0]?.model ?? '', threads, pooling, dimensions, files]))
    .digest('hex')
}

/**
 * Real path, size and time of the weight files and config.json of a directory, by name. A path below the hub's cache
 * leads to the content by its hash.
 */
async function stateOfFiles(directory: string): Promise<[string, number, number][]> {
  const names = (await readdir(directory))
    .filter((name) => /^(?:adapter_)?config\.json$/.test(name) || /\.safetensors(\.index\.json)?$/.test(name))
    .sort()
  return Promise.all(
    names.map(async (name): Promise<[string, number, number]> => {
      try {
        const file = await realpath(path.join(directory, name))
        const { size, mtimeMs } = await stat(file)
        return [file, size, mtimeMs]
      } catch {
        return [path.join(directory, name), 0, 0] // A dangling link; loading tells whether it matters.
      }
    }),
  )
}

export async function recall(key: string): Promise<RememberedDtype | null> {
  return (await readEntries())[key] ?? null
}

export async function remember(key: string, choice: RememberedDtype): Promise<void> {
  const { [key]: _before, ...others } = await readEntries()
  const kept = [...Object.entries(others), [key, choice] as const].slice(-MOST_ENTRIES)
  const directory = cacheDirectory()
  if (directory === null) return
  const unfinished = path.join(directory, `${FILE}.${randomUUID()}`)
  try {
    await mkdir(directory, { recursive: true })
    await writeFile(unfinished, `${JSON.stringify(Object.fromEntries(kept), null, 1)}\n`, { flag: 'wx' })
    await rename(unfinished, path.join(directory, FILE))
  } catch {
    await rm(unfinished, { force: true }).catch(() => undefined)
  }
}

/** Read at every call, like the hub's variables. null = the user has no home and no variable names a directory. */
function cacheDirectory(): string | null {
  const { EMBEDCORE_CACHE: own, XDG_CACHE_HOME: shared } = process.env
  if (own !== undefined && own !== '') return path.resolve(own)
  if (shared !== undefined && path.isAbsolute(shared)) return path.join(shared, 'embedcore')
  const home = homeDirectory()
  return home === null ? null : path.join(home, '.cache', 'embedcore')
}

/** The entries in the form that this version writes; others in the file are ignored. */
async function readEntries(): Promise<Record<string, RememberedDtype>> {
  const directory = cacheDirectory()
  if (directory === null) return {}
  let found: unknown
  try {
    found = JSON.parse(await readFile(path.join(directory, FILE), 'utf8'))
  } catch {
    return {}
  }
  if (typeof found !== 'object' || found === null || Array.isArray(found)) return {}
  return Object.fromEntries(
    Object.entries(found).filter((entry): entry is [string, RememberedDtype] => isRemembered(entry[1])),
  )
}

function isRemembered(value: unknown): value is RememberedDtype {
  const { dtype, measured } = (value ?? {}) as Partial<RememberedDtype>
  return (
    isDtype(dtype) &&
    Array.isArray(measured) &&
    measured.every(isMeasurement) &&
    measured.some((one) => one.dtype === dtype)
  )
}

function isMeasurement(value: unknown): value is DtypeMeasurement {
  const { dtype, leastCosine, tokensPerSecond } = (value ?? {}) as Partial<DtypeMeasurement>
  return isDtype(dtype) && Number.isFinite(leastCosine) && Number.isFinite(tokensPerSecond)
}

function isDtype(value: unknown): value is Dtype {
  return DTYPES.some((dtype) => dtype === value)
}
