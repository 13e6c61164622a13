/** dispose() and the garbage collector end a model off the event loop: orders and mechanisms, no times. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test, vi } from 'vitest'
import { load } from '../../src/index.js'
import { native } from '../../src/core/native.js'
import { GOLDEN } from '../support/golden.js'
import { makeModel } from '../support/made-model.mjs'

const STACK = path.join(GOLDEN, 'stack/mean-normalize')
const texts = Array.from({ length: 3000 }, (_, i) => `the quick brown fox and a small cup ${i}`)
const disposed = { code: 'ERR_EMBEDCORE_DISPOSED' }
afterEach(() => vi.restoreAllMocks())

test('dispose() returns at once; the memory is free later, when it resolves', async () => {
  const model = await load(STACK)
  const order: string[] = []
  const freed = model.dispose().then(() => order.push('freed'))
  order.push('returned')
  // Not among what is due in this turn either: another thread frees, and says so through the event loop.
  await Promise.resolve()
  order.push('microtasks')
  await freed
  expect(order).toEqual(['returned', 'microtasks', 'freed'])
})

test('the addon frees on another thread and calls back', async () => {
  const model = await load(STACK)
  const raw = (model as unknown as { parts: { raw: { dispose(freed: () => void): void } } }).parts.raw
  let inside = true
  await new Promise<void>((resolve) => {
    raw.dispose(() => {
      expect(inside, 'not before dispose() has returned').toBe(false)
      resolve()
    })
    inside = false
  })
  await expect(model.encode('a')).rejects.toMatchObject(disposed)
})

test('calls under way are rejected, of any kind, and before the memory is free', async () => {
  const model = await load(STACK, { threads: 1 })
  const order: string[] = []
  const rejected = (name: string, call: Promise<unknown>) =>
    call.then(
      () => order.push(`${name} done`),
      ({ code }: { code: string }) => order.push(`${name} ${code}`),
    )
  let begin = () => {}
  const begun = new Promise<void>((resolve) => (begin = resolve))
  const calls = [
    rejected('sentences', model.encode(texts, { onProgress: () => begin() })),
    rejected('tokens', model.encode(texts, { output: 'token' })),
    rejected('int8', model.encode(texts, { precision: 'int8' })),
  ]
  const stream = model.encodeStream(texts, { batchSize: 64 })
  await stream.next()
  await begun
  const rest = rejected(
    'stream',
    (async () => {
      for await (const _ of stream);
    })(),
  )
  await model.dispose().then(() => order.push('freed'))
  await Promise.all([...calls, rest])
  expect(order.filter((entry) => entry.endsWith('ERR_EMBEDCORE_DISPOSED'))).toHaveLength(4)
  expect(order).toHaveLength(5)
})

test('the event loop turns while a worker is still inside a layer of the model', async () => {
  vi.stubEnv('EMBEDCORE_CPU_ISA', 'reference') // Its layers take long.
  const folder = mkdtempSync(path.join(tmpdir(), 'embedcore-dispose-'))
  try {
    const model = await load(makeModel(folder, { layers: 2 }), { threads: 1 })
    const call = expect(model.encode('the red fox '.repeat(30))).rejects.toMatchObject(disposed)
    await sleep(20) // The only worker begins the text's first layer.
    let turns = 0
    let freed = false
    const disposing = model.dispose().then(() => (freed = true))
    while (!freed) {
      await setImmediate()
      turns++
    }
    await disposing
    await call
    expect(turns).toBeGreaterThan(20)
  } finally {
    vi.unstubAllEnvs()
    rmSync(folder, { recursive: true })
  }
})

test('a second dispose(), and one of many at once, does nothing more', async () => {
  const model = await load(STACK)
  await Promise.all([model.dispose(), model.dispose(), model.dispose()])
  await model.dispose()
  await expect(model.encode('a')).rejects.toMatchObject(disposed)
})

test('one handle goes, the other on the same files stays', async () => {
  const [one, two] = await Promise.all([load(STACK), load(STACK)])
  const expected = (await two.encode(texts)).data
  const call = two.encode(texts)
  const lost = one.encode(texts)
  await Promise.all([one.dispose(), expect(lost).rejects.toMatchObject(disposed)])
  expect((await call).data).toEqual(expected)
  await two.dispose()
})

test('a load that fails after its weights were read lets them go without the event loop', async () => {
  const stop = new AbortController()
  const original = native().load
  const dispose = vi.fn()
  vi.spyOn(native(), 'load').mockImplementation((options, done) =>
    original(options, (error, raw) => {
      stop.abort()
      if (raw !== undefined) {
        const own = raw.dispose.bind(raw)
        Object.defineProperty(raw, 'dispose', { value: dispose.mockImplementation(own) })
      }
      done(error, raw)
    }),
  )
  await expect(load(STACK, { signal: stop.signal })).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
  expect(dispose).toHaveBeenCalledTimes(1)
})
