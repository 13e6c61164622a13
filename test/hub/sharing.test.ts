/**
 * A shared cache: without network, together with huggingface_hub (Python), and with several simultaneous loads and
 * processes.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { build } from 'tsup'
import { describe, expect, it, vi } from 'vitest'

import { withLock } from '../../src/hub/lock.js'
import { resolveModel } from '../../src/hub/resolve.js'
import { gitBlobId, sha256, type FakeFiles } from '../support/fake-hub.js'
import {
  failureOf,
  holds,
  NEEDED,
  pick,
  SENTENCE_MODEL,
  useHub,
  WEIGHTS,
  writePythonCache,
} from '../support/hub-fixture.js'

// Waits between attempts and between checks of a lock take a tenth of their time; their outcome is the same.
vi.mock('node:timers/promises', async (original) => {
  const { setTimeout: sleep, ...others } = await original<typeof import('node:timers/promises')>()
  return { ...others, setTimeout: (ms: number, value: unknown, options: object) => sleep(ms / 10, value, options) }
})

const fixture = useHub()
const ID = 'org/tiny-model'
const FILE = 'model.safetensors'
const AT_CDN = /^\/[0-9a-f]{64}\/model\.safetensors$/

const folder = (): string => join(fixture.cacheDir, 'models--org--tiny-model')
const ranges = (): (string | undefined)[] =>
  fixture.hub
    .requestsFor(FILE)
    .filter(({ origin }) => origin === 'cdn')
    .map(({ range }) => range)

describe('offline', () => {
  it.each([
    ['the option', () => ({ offline: true })],
    ['HF_HUB_OFFLINE', () => (vi.stubEnv('HF_HUB_OFFLINE', '1'), {})],
    ['TRANSFORMERS_OFFLINE', () => (vi.stubEnv('TRANSFORMERS_OFFLINE', 'true'), {})],
  ])('by %s takes what is cached and asks nothing', async (_, goOffline) => {
    const commit = fixture.hub.addCommit(ID, SENTENCE_MODEL)
    const directory = await resolveModel(ID)
    fixture.hub.requests.length = 0
    const options = goOffline()
    expect(await resolveModel(ID, options)).toBe(directory)
    expect(await resolveModel(ID, { ...options, revision: commit })).toBe(directory)
    for (const other of [{ revision: 'v2' }, { cacheDir: fixture.scratch }]) {
      const error = await failureOf(resolveModel(ID, { ...options, ...other }))
      expect(error.code).toBe('ERR_EMBEDCORE_HUB_OFFLINE')
      expect(error.message).toContain(`found nothing of revision "${'revision' in other ? 'v2' : 'main'}"`)
    }
    expect(fixture.hub.requests).toEqual([])
  })

  it('is turned off by the option, whatever the environment says', async () => {
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    expect(await resolveModel(ID, { offline: false })).toContain('snapshots')
  })

  it.each([
    ...NEEDED.filter((path) => /^(?:1_Pooling\/config|config|modules|tokenizer)\.json$|safetensors/.test(path)),
  ])('refuses a snapshot that lost %s', async (path) => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    const directory = await resolveModel(ID)
    await rm(join(directory, path))
    const error = await failureOf(resolveModel(ID, { offline: true }))
    expect(error.code).toBe('ERR_EMBEDCORE_HUB_OFFLINE')
    expect(error.message).toContain(path)
    expect(await resolveModel(ID)).toBe(directory)
    expect(await holds(join(directory, path), SENTENCE_MODEL[path]!)).toBe(true)
  })

  it('sees a link whose blob is gone', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    await resolveModel(ID)
    await rm(join(folder(), 'blobs', sha256(WEIGHTS)))
    expect((await failureOf(resolveModel(ID, { offline: true }))).code).toBe('ERR_EMBEDCORE_HUB_OFFLINE')
  })
})

describe('a hub that cannot be reached', () => {
  it('leaves the cached copy, with a warning', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    const directory = await resolveModel(ID)
    await fixture.hub.close()
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    expect(await resolveModel(ID)).toBe(directory)
    expect(warn).toHaveBeenCalledExactlyOnceWith(
      expect.stringMatching(/newest "org\/tiny-model" .*ECONNREFUSED.* is used/),
      'EmbedCoreWarning',
    )
    warn.mockRestore()
  })

  it('without a copy is an error that names the address and the cache', async () => {
    const { url } = fixture.hub
    await fixture.hub.close()
    const error = await failureOf(resolveModel(ID))
    expect(error.code).toBe('ERR_EMBEDCORE_HUB')
    expect(error.message).toMatch(/ECONNREFUSED/)
    expect(error.message).toContain(url)
    expect(error.message).toContain(fixture.cacheDir)
  })
})

describe('a cache made by Python', () => {
  const COMMIT = 'c'.repeat(40)

  it('of a whole repository serves offline', async () => {
    const snapshot = await writePythonCache(fixture.cacheDir, ID, COMMIT, SENTENCE_MODEL)
    expect(await resolveModel(ID, { offline: true })).toBe(snapshot)
  })

  it('of the files that sentence-transformers asked for serves offline, once it is known what is absent', async () => {
    const bare = pick(SENTENCE_MODEL, ['config.json', 'tokenizer.json', FILE])
    const snapshot = await writePythonCache(fixture.cacheDir, ID, COMMIT, bare)
    const error = await failureOf(resolveModel(ID, { offline: true }))
    expect(error.code).toBe('ERR_EMBEDCORE_HUB_OFFLINE')
    expect(error.message).toContain('whether there is a modules.json is not known')
    await mkdir(join(folder(), '.no_exist', COMMIT), { recursive: true })
    await writeFile(join(folder(), '.no_exist', COMMIT, 'modules.json'), '')
    expect(await resolveModel(ID, { offline: true })).toBe(snapshot)
  })

  it('that was cut off is not taken for whole', async () => {
    const { 'modules.json': _, ...cutOff } = SENTENCE_MODEL
    await writePythonCache(fixture.cacheDir, ID, COMMIT, cutOff)
    await writeFile(join(folder(), 'blobs', `${gitBlobId(Buffer.from('x'))}.incomplete`), '')
    expect((await failureOf(resolveModel(ID, { offline: true }))).message).toContain(
      'whether there is a modules.json is not known',
    )
  })

  it('with its own listing is checked against that', async () => {
    const entries = (files: FakeFiles): Record<string, unknown> =>
      Object.fromEntries(
        Object.entries(files).map(([path, text]) => {
          const bytes = Buffer.from(text)
          return [
            path,
            {
              size: bytes.length,
              blob_id: gitBlobId(bytes),
              ...(path.endsWith('.safetensors') ? { lfs_sha256: sha256(bytes), lfs_size: bytes.length } : {}),
            },
          ]
        }),
      )
    const { 'modules.json': _, ...without } = SENTENCE_MODEL
    const commit = fixture.hub.addCommit(ID, SENTENCE_MODEL)
    await writePythonCache(fixture.cacheDir, ID, commit, without)
    await mkdir(join(folder(), 'trees'))
    await writeFile(
      join(folder(), 'trees', `${commit}.json`),
      JSON.stringify({ format_version: 1, files: entries(SENTENCE_MODEL) }),
    )
    expect((await failureOf(resolveModel(ID, { offline: true }))).message).toContain('modules.json')
    const directory = await resolveModel(ID)
    // The listing saves a request, and the other files were there.
    expect(fixture.hub.requests.filter(({ path }) => path.includes('/tree/'))).toEqual([])
    expect(ranges()).toEqual([])
    expect(await resolveModel(ID, { offline: true })).toBe(directory)
  })

  it('gives its blobs to a later commit', async () => {
    await writePythonCache(fixture.cacheDir, ID, COMMIT, SENTENCE_MODEL)
    const commit = fixture.hub.addCommit(ID, { ...SENTENCE_MODEL, 'config.json': '{"model_type": "mpnet"}' })
    const directory = await resolveModel(ID)
    expect(directory).toBe(join(folder(), 'snapshots', commit))
    expect(ranges()).toEqual([])
    expect(await holds(join(directory, FILE), WEIGHTS)).toBe(true)
    expect(await readFile(join(folder(), 'refs', 'main'), 'utf8')).toBe(commit)
  })
})

/** The loader as a separate process: node does not run TypeScript, so it is bundled. */
async function startLoad(): Promise<{ child: ChildProcess; answer: Promise<unknown> }> {
  const outDir = join(fixture.scratch, 'bundle')
  const program = join(outDir, 'load.mjs')
  await access(program).catch(async () => {
    const entry = fileURLToPath(new URL('../../src/hub/resolve.ts', import.meta.url))
    await build({
      entry: { hub: entry },
      outDir,
      format: 'esm',
      outExtension: () => ({ js: '.mjs' }),
      platform: 'node',
      noExternal: [/./],
      silent: true,
      config: false,
      dts: false,
    })
    await writeFile(
      program,
      `import { resolveModel } from './hub.mjs'
process.send(await resolveModel('${ID}').catch((error) => error.message))
process.disconnect()
`,
    )
  })
  const child = fork(program)
  return { child, answer: once(child, 'message').then(([message]) => message as unknown) }
}

describe('many at once', () => {
  it('in one process download each content once', async () => {
    const commit = fixture.hub.addCommit(ID, SENTENCE_MODEL)
    fixture.hub.faults = [{ path: AT_CDN, kind: 'slow', after: 1000 }]
    const directories = await Promise.all(Array.from({ length: 4 }, () => resolveModel(ID)))
    expect(new Set(directories).size).toBe(1)
    // Files with the same contents are one blob, downloaded by the name of the first of them.
    const contents = new Set(NEEDED.map((path) => SENTENCE_MODEL[path]))
    expect(fixture.hub.requests.filter((request) => request.path.startsWith(`/${ID}/resolve/${commit}/`)).length).toBe(
      contents.size,
    )
    expect(await holds(join(directories[0]!, FILE), WEIGHTS)).toBe(true)
  })

  it('of several processes download the weights once', async () => {
    const commit = fixture.hub.addCommit(ID, SENTENCE_MODEL)
    fixture.hub.faults = [{ path: AT_CDN, kind: 'slow', after: 1000 }]
    const first = await startLoad()
    const loads = [first, await startLoad(), await startLoad()]
    const directory = join(folder(), 'snapshots', commit)
    expect(await Promise.all(loads.map(({ answer }) => answer))).toEqual([directory, directory, directory])
    expect(ranges()).toEqual([undefined])
    expect(await holds(join(directory, FILE), WEIGHTS)).toBe(true)
  })

  it('go on with what a killed process left, without waiting for its lock', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    fixture.hub.faults = [{ path: AT_CDN, kind: 'stall', after: 90_000, times: 1 }]
    const { child } = await startLoad()
    const unfinished = join(folder(), 'blobs', `${sha256(WEIGHTS)}.embedcore.incomplete`)
    await vi.waitFor(async () => expect((await readFile(unfinished)).length).toBe(90_000), { timeout: 20_000 })
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
    const lock = join(fixture.cacheDir, '.locks', 'models--org--tiny-model', `${sha256(WEIGHTS)}.embedcore.lock`)
    expect(await readFile(lock, 'utf8')).toContain(` ${child.pid} `)
    expect(await holds(join(await resolveModel(ID), FILE), WEIGHTS)).toBe(true)
    expect(ranges()).toEqual([undefined, 'bytes=90000-'])
    await expect(access(lock)).rejects.toThrow('ENOENT')
  })
})

describe('a lock', () => {
  const never = async (): Promise<undefined> => undefined

  it('is waited for while its holder lives, and the wait ends with the signal', async () => {
    const path = join(fixture.scratch, 'lock')
    await writeFile(path, 'another-machine 1 x')
    const work = vi.fn(async () => 'done')
    const controller = new AbortController()
    let asked = 0
    const ready = async (): Promise<undefined> => void (++asked === 3 && controller.abort())
    await expect(withLock(path, { ready, work, signal: controller.signal })).rejects.toThrow('aborted')
    expect(work).not.toHaveBeenCalled()
    expect(await readFile(path, 'utf8')).toBe('another-machine 1 x')
  })

  it('of another machine that is no longer touched is taken over', async () => {
    const path = join(fixture.scratch, 'lock')
    await writeFile(path, 'another-machine 1 x')
    let now = 0
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => (now += 15_000))
    expect(await withLock(path, { ready: never, work: () => readFile(path, 'utf8') })).toContain(` ${process.pid} `)
    clock.mockRestore()
    await expect(access(path)).rejects.toThrow('ENOENT')
  })

  it('is given up when the work fails', async () => {
    const path = join(fixture.scratch, 'lock')
    await expect(withLock(path, { ready: never, work: () => Promise.reject(new Error('no')) })).rejects.toThrow('no')
    await expect(access(path)).rejects.toThrow('ENOENT')
  })

  it('ends at once for those who find the work done', async () => {
    const path = join(fixture.scratch, 'lock')
    await writeFile(path, 'another-machine 1 x')
    expect(await withLock(path, { ready: async () => 'there', work: () => Promise.reject(new Error('no')) })).toBe(
      'there',
    )
  })
})
