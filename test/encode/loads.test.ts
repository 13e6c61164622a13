/** Other calls during a load, and the end of loads. Orders and mechanisms are compared, no times. */
import { cpSync, linkSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { embedCore, load, type Model } from '../../src/index.js'
import type { RawLoadOptions } from '../../src/core/binding.js'
import { native } from '../../src/core/native.js'
import { GOLDEN } from '../support/golden.js'
import { makeModel } from '../support/made-model.mjs'

const SMALL = path.join(GOLDEN, 'stack/mean-normalize')
let folder: string
let model: Model
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'embedcore-loads-'))
  model = await load(SMALL)
})
afterAll(async () => {
  await model.dispose()
  rmSync(folder, { recursive: true })
})
afterEach(() => vi.restoreAllMocks())

describe('loads under way', () => {
  test('hold up neither similarity, nor quantised calls, nor other models', async () => {
    const large = makeModel(path.join(folder, 'copied'), { layers: 12 })
    const directories: string[] = []
    for (let i = 0; i < 6; i++) {
      const directory = path.join(folder, `copy-${i}`)
      cpSync(large, directory, { recursive: true, filter: (file) => !file.endsWith('.safetensors') })
      linkSync(path.join(large, 'model.safetensors'), path.join(directory, 'model.safetensors'))
      directories.push(directory)
    }
    const begun = vi.spyOn(native(), 'load')
    const order: string[] = []
    const loads = directories.map(async (directory) => {
      const loaded = await load(directory, { dtype: 'int8' })
      order.push('load')
      await loaded.dispose()
    })
    await vi.waitUntil(() => begun.mock.calls.length === loads.length, { interval: 0, timeout: 20_000 })

    const ranges = new Float32Array(2 * model.info.dimension).fill(1, model.info.dimension)
    await Promise.all([
      embedCore
        .similarity(Float32Array.of(1, 2), Float32Array.of(1, 2), { dimension: 2 })
        .then(() => order.push('similarity')),
      model.encode(['a', 'b'], { precision: 'int8', ranges }).then(() => order.push('int8')),
      model.encode(['a', 'b'], { precision: 'ubinary' }).then(() => order.push('ubinary')),
      embedCore.quantizationRanges(new Float32Array(8), { dimension: 2 }).then(() => order.push('ranges')),
      load(path.join(GOLDEN, 'stack/decoder')).then(async (other) => {
        await other.encode('a')
        order.push('another model')
        await other.dispose()
      }),
    ])
    // When similarity, quantised calls and loads shared two threads, these ended only after most loads.
    expect(order.filter((what) => what === 'load').length).toBeLessThan(3)
    await Promise.all(loads)
    expect(order).toHaveLength(11)
  })

  test('of one set of files share the weights', async () => {
    const same = await Promise.all([load(SMALL), load(SMALL), load(SMALL)])
    const [a, b, c] = await Promise.all(same.map((handle) => handle.encode('a text')))
    expect(b!.data).toEqual(a!.data)
    expect(c!.data).toEqual(a!.data)
    await Promise.all(same.map((handle) => handle.dispose()))
  })
})

describe('a load that is aborted', () => {
  test('before it begins reads nothing', async () => {
    const begun = vi.spyOn(native(), 'load')
    await expect(load(SMALL, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
    expect(begun).not.toHaveBeenCalled()
  })

  test('while weights are read stops between two tensors, and the next load of the files works', async () => {
    const directory = makeModel(path.join(folder, 'large'), { layers: 8 })
    const stop = new AbortController()
    const original = native().load
    let ended: Error | null | undefined
    vi.spyOn(native(), 'load').mockImplementation((options, done) => {
      const task = original(options, (error, loaded) => {
        ended = error
        done(error, loaded)
      })
      setImmediate(() => stop.abort(new Error('no longer wanted')))
      return task
    })
    const failure = (await load(directory, { signal: stop.signal }).catch((error: unknown) => error)) as Error
    expect(failure).toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED', cause: { message: 'no longer wanted' } })
    expect(failure.stack).toContain('loads.test.ts')
    expect(ended, 'the addon gave up, not the caller alone').toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })

    vi.restoreAllMocks()
    const next = await load(directory, { signal: new AbortController().signal })
    expect((await next.encode('a text')).shape).toEqual([1, 384])
    await next.dispose()
  })

  test('by one of two callers does not end the other', async () => {
    const directory = makeModel(path.join(folder, 'shared'), { layers: 8 })
    const stop = new AbortController()
    const original = native().load
    let begun = 0
    vi.spyOn(native(), 'load').mockImplementation((options, done) => {
      if (++begun === 2) setImmediate(() => stop.abort())
      return original(options, done)
    })
    const [aborted, loaded] = await Promise.allSettled([load(directory, { signal: stop.signal }), load(directory)])
    expect(aborted).toMatchObject({ status: 'rejected', reason: { code: 'ERR_EMBEDCORE_ABORTED' } })
    expect(loaded.status).toBe('fulfilled')
    const { value } = loaded as PromiseFulfilledResult<Model>
    expect((await value.encode('a')).shape).toEqual([1, 384])
    await value.dispose()
  })

  test('after its end changes nothing', async () => {
    const stop = new AbortController()
    const loaded = await load(SMALL, { signal: stop.signal })
    stop.abort()
    expect((await loaded.encode('a')).shape[0]).toBe(1)
    await loaded.dispose()
  })
})

describe('EMBEDCORE_CPU_ISA', () => {
  const before = process.env.EMBEDCORE_CPU_ISA
  afterEach(() => {
    if (before === undefined) delete process.env.EMBEDCORE_CPU_ISA
    else process.env.EMBEDCORE_CPU_ISA = before
  })

  test('counts as it was when load() was called', async () => {
    process.env.EMBEDCORE_CPU_ISA = 'plain'
    const plain = load(SMALL)
    process.env.EMBEDCORE_CPU_ISA = 'reference'
    const reference = load(SMALL)
    process.env.EMBEDCORE_CPU_ISA = 'unknown'
    const unknown = load(SMALL)
    unknown.catch(() => undefined)
    process.env.EMBEDCORE_CPU_ISA = 'plain'
    expect((await plain).info.isa).toBe('cpu-plain')
    expect((await reference).info.isa).toBe('reference')
    await expect(unknown).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_OPTION',
      message: expect.stringContaining('unknown') as string,
    })
    await Promise.all([(await plain).dispose(), (await reference).dispose()])
  })

  test('is read before the threads of the addon start', async () => {
    process.env.EMBEDCORE_CPU_ISA = 'plain'
    const options: RawLoadOptions = {
      kind: 'transformer',
      directory: SMALL,
      modules: [],
      layerWeights: null,
      dtype: 'float32',
      threads: 1,
      maxBatchTokens: 4096,
      maxQueueTokens: 4096,
    }
    const loaded = new Promise<string>((resolve, reject) => {
      native().load(options, (error, raw) => {
        if (raw === undefined) return reject(error!)
        resolve(raw.info.isa)
        raw.dispose()
      })
    })
    process.env.EMBEDCORE_CPU_ISA = 'reference'
    expect(await loaded).toBe('cpu-plain')
  })
})
