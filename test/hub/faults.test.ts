/** Faults during a download: broken connections, wrong bytes, temporary and permanent refusals, and aborts. */
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it, vi } from 'vitest'

import { resolveModel } from '../../src/hub/resolve.js'
import { gitBlobId, sha256 } from '../support/fake-hub.js'
import { failureOf, holds, SENTENCE_MODEL, useHub, WEIGHTS } from '../support/hub-fixture.js'

// Waits between attempts and between checks of a lock take a tenth of their time; their outcome is the same.
vi.mock('node:timers/promises', async (original) => {
  const { setTimeout: sleep, ...others } = await original<typeof import('node:timers/promises')>()
  return { ...others, setTimeout: (ms: number, value: unknown, options: object) => sleep(ms / 10, value, options) }
})

const fixture = useHub()
const ID = 'org/tiny-model'
const FILE = 'model.safetensors'
const AT_CDN = /^\/[0-9a-f]{64}\/model\.safetensors$/

const blobs = (): string => join(fixture.cacheDir, 'models--org--tiny-model', 'blobs')
const unfinished = (): string => join(blobs(), `${sha256(WEIGHTS)}.embedcore.incomplete`)
const ranges = (): (string | undefined)[] =>
  fixture.hub
    .requestsFor(FILE)
    .filter(({ origin }) => origin === 'cdn')
    .map(({ range }) => range)
const unfinishedFiles = async (): Promise<string[]> =>
  (await readdir(blobs())).filter((name) => name.endsWith('.incomplete'))

async function leave(bytes: Buffer): Promise<void> {
  await mkdir(blobs(), { recursive: true })
  await writeFile(unfinished(), bytes)
}

async function expectWeights(directory: string): Promise<void> {
  expect(await holds(join(directory, FILE), WEIGHTS)).toBe(true)
  expect(await unfinishedFiles()).toEqual([])
}

describe('a connection that breaks', () => {
  it('is taken up where it broke, within one load', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    fixture.hub.faults = [{ path: AT_CDN, kind: 'drop', after: 100_000, times: 2 }]
    const seen: number[] = []
    await expectWeights(
      await resolveModel(ID, { onProgress: ({ file, loaded }) => void (file === FILE && seen.push(loaded)) }),
    )
    expect(ranges()).toEqual([undefined, 'bytes=100000-', 'bytes=200000-'])
    expect(seen).toEqual([...seen].sort((a, b) => a - b))
  })

  it('stays broken: the error says so, and the next load goes on from there', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    fixture.hub.faults = [
      { path: AT_CDN, kind: 'drop', after: 150_000, times: 1 },
      { path: AT_CDN, kind: 'status', status: 503, headers: { 'retry-after': '0' } },
    ]
    const error = await failureOf(resolveModel(ID))
    expect(error.code).toBe('ERR_EMBEDCORE_HUB')
    expect(error.message).toMatch(/out of order: 127\.0\.0\.1:\d+ answered 503 .*kept and resumed/)
    expect((await readFile(unfinished())).length).toBe(150_000)
    fixture.hub.faults = []
    fixture.hub.requests.length = 0
    const seen: number[] = []
    await expectWeights(
      await resolveModel(ID, { onProgress: ({ file, loaded }) => void (file === FILE && seen.push(loaded)) }),
    )
    expect(ranges()).toEqual(['bytes=150000-'])
    expect(seen[0]).toBe(150_000)
  })

  it('or goes silent is given up and taken up again', async () => {
    vi.stubEnv('HF_HUB_DOWNLOAD_TIMEOUT', '0.2')
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    fixture.hub.faults = [{ path: AT_CDN, kind: 'stall', after: 70_000, times: 1 }]
    await expectWeights(await resolveModel(ID))
    expect(ranges()).toEqual([undefined, 'bytes=70000-'])
  })

  it.each(['revision/main', 'tree/'])('in an answer of the API is asked again: %s', async (part) => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    fixture.hub.faults = [
      { path: new RegExp(part), kind: 'status', status: 502, headers: { 'retry-after': '0' }, times: 2 },
    ]
    await expectWeights(await resolveModel(ID))
    expect(fixture.hub.requests.filter(({ path }) => path.includes(part)).length).toBe(3)
  })
})

describe('what an earlier download left', () => {
  it('is started over where the server does not do ranges', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    await leave(WEIGHTS.subarray(0, 1000))
    fixture.hub.faults = [{ path: AT_CDN, kind: 'whole' }]
    await expectWeights(await resolveModel(ID))
    expect(ranges()).toEqual(['bytes=1000-'])
  })

  it('is thrown away when it was damaged', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    await leave(Buffer.alloc(1000))
    await expectWeights(await resolveModel(ID))
    expect(ranges()).toEqual(['bytes=1000-', undefined])
  })

  it('needs no request when it was whole', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    await leave(WEIGHTS)
    await expectWeights(await resolveModel(ID))
    expect(ranges()).toEqual([])
  })

  it('is started over when it is longer than the file', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    await leave(Buffer.concat([WEIGHTS, WEIGHTS]))
    await expectWeights(await resolveModel(ID))
    expect(ranges()).toEqual([undefined])
  })

  it('as a blob of the wrong size is replaced', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    await mkdir(blobs(), { recursive: true })
    await writeFile(join(blobs(), sha256(WEIGHTS)), 'cut off')
    await expectWeights(await resolveModel(ID))
  })
})

describe('wrong bytes', () => {
  it.each([
    ['a large file, by sha256', FILE, AT_CDN],
    ['a small file, by the id git gives it', 'tokenizer.json', /resolve-cache.*tokenizer\.json$/],
  ])('never reach the snapshot: %s', async (_, file, path) => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    fixture.hub.faults = [{ path, kind: 'corrupt' }]
    const error = await failureOf(resolveModel(ID))
    expect(error.code).toBe('ERR_EMBEDCORE_HUB_CHECKSUM')
    const bytes = Buffer.from(SENTENCE_MODEL[file]!)
    expect(error.message).toContain(`"${file}" of "${ID}"`)
    expect(error.message).toContain(file === FILE ? sha256(bytes) : gitBlobId(bytes))
    const names = await readdir(blobs())
    expect(names.filter((name) => name.startsWith(file === FILE ? sha256(bytes) : gitBlobId(bytes)))).toEqual([])
    // Downloads of other files may have been interrupted.
    for (const name of names.filter((each) => !each.endsWith('.incomplete'))) {
      const content = await readFile(join(blobs(), name))
      expect([
        sha256(content),
        createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex'),
      ]).toContain(name)
    }
    fixture.hub.faults = []
    await expectWeights(await resolveModel(ID))
  })

  it('behind a sound beginning are fetched again from the first byte', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    await leave(WEIGHTS.subarray(0, 1000))
    fixture.hub.faults = [{ path: AT_CDN, kind: 'corrupt', times: 1 }]
    await expectWeights(await resolveModel(ID))
    expect(ranges()).toEqual(['bytes=1000-', undefined])
  })

  it('fewer than listed are no file', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    fixture.hub.faults = [{ path: AT_CDN, kind: 'short', after: 5000 }]
    const error = await failureOf(resolveModel(ID))
    expect(error.code).toBe('ERR_EMBEDCORE_HUB')
    expect(error.message).toContain(`5000 bytes were offered where ${WEIGHTS.length} of "${FILE}" are missing`)
    expect(ranges()).toEqual([undefined])
  })
})

describe('refusals', () => {
  it('that pass are waited out as the server asks', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    fixture.hub.faults = [
      { path: /revision\/main/, kind: 'status', status: 429, headers: { 'retry-after': '0' }, times: 2 },
      { path: AT_CDN, kind: 'status', status: 500, headers: { 'retry-after': '0' }, times: 2 },
    ]
    await expectWeights(await resolveModel(ID))
  })

  it.each([
    [429, /too many requests from here \(429\).*after 5 attempts/],
    [500, /out of order: 127\.0\.0\.1:\d+\/api\S* answered 500/],
  ])('that do not pass end after five attempts: %i', async (status, sentence) => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    fixture.hub.faults = [{ path: /revision\/main/, kind: 'status', status, headers: { 'retry-after': '0' } }]
    const error = await failureOf(resolveModel(ID))
    expect(error.code).toBe('ERR_EMBEDCORE_HUB')
    expect(error.message).toMatch(sentence)
    expect(fixture.hub.requests.length).toBe(5)
  })

  it('of a file that is listed name the file', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    fixture.hub.faults = [
      { path: /tokenizer\.json$/, kind: 'status', status: 404, headers: { 'x-error-code': 'EntryNotFound' } },
    ]
    const error = await failureOf(resolveModel(ID))
    expect(error.code).toBe('ERR_EMBEDCORE_HUB')
    expect(error.message).toContain('lists a file of "org/tiny-model" that it then cannot find')
    expect(fixture.hub.requestsFor('tokenizer.json').length).toBe(1)
    expect(error.message).toContain('tokenizer.json')
  })

  it('without end are ended: a redirect to itself, and one that leaves http', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    for (const [location, sentence] of [
      [`${fixture.hub.url}/loop`, /redirected more than 10 times/],
      ['file:///etc/passwd', /not http: file:/],
    ] as const) {
      fixture.hub.faults = [{ path: /./, kind: 'status', status: 302, headers: { location } }]
      expect((await failureOf(resolveModel(ID))).message).toMatch(sentence)
    }
  })

  it("by an answer that is not the hub's are told from those by the hub", async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    fixture.hub.faults = [{ path: /revision\/main/, kind: 'status', status: 200 }]
    const error = await failureOf(resolveModel(ID))
    expect(error.code).toBe('ERR_EMBEDCORE_HUB')
    expect(error.message).toContain('its answer was not understood')
  })
})

describe('an aborted load', () => {
  it('that has not begun asks nothing', async () => {
    const error = await failureOf(resolveModel(ID, { signal: AbortSignal.abort('early') }))
    expect(error).toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED', name: 'AbortError', cause: 'early' })
    expect(fixture.hub.requests).toEqual([])
  })

  it('ends in the middle of a file, keeps what came, and is resumed', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    fixture.hub.faults = [{ path: AT_CDN, kind: 'stall', after: 120_000, times: 1 }]
    const controller = new AbortController()
    const reason = new Error('enough')
    const load = failureOf(resolveModel(ID, { signal: controller.signal }))
    await vi.waitFor(async () => expect((await readFile(unfinished())).length).toBe(120_000), { timeout: 20_000 })
    controller.abort(reason)
    expect(await load).toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED', name: 'AbortError', cause: reason })
    expect(await readdir(join(fixture.cacheDir, '.locks', 'models--org--tiny-model'))).toEqual([])
    await expectWeights(await resolveModel(ID))
    expect(ranges()).toEqual([undefined, 'bytes=120000-'])
  })

  it.each([
    ['an answer', { path: /revision\/main/, kind: 'status', status: 503, headers: { 'retry-after': '60' } }],
    ['a file', { path: AT_CDN, kind: 'status', status: 503, headers: { 'retry-after': '60' } }],
  ] as const)('does not wait for the next attempt at %s', async (_, fault) => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    fixture.hub.faults = [{ ...fault }]
    const controller = new AbortController()
    const load = failureOf(resolveModel(ID, { signal: controller.signal }))
    await vi.waitFor(() => expect(fixture.hub.requests.some(({ path }) => fault.path.test(path))).toBe(true), {
      timeout: 20_000,
    })
    controller.abort()
    expect((await load).code).toBe('ERR_EMBEDCORE_ABORTED')
  })
})
