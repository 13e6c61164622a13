/** The choices of `dtype: 'auto'` and its memory, on fake models with given cosines and times. */
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { EmbedCoreError } from '../../src/core/errors.js'
import type { ModelDescription } from '../../src/model/directory.js'
import type { MeasurableModel } from '../../src/model/dtype-measure.js'
import { sentenceEmbeddings } from '../../src/core/results.js'
import type { Dtype } from '../../src/core/names.js'

interface Script {
  cosine?: number
  milliseconds?: number
  error?: Error
  atOpen?: Error
}

/** Opens models whose last text has the scripted cosine to float32 and whose rounds take the scripted time. */
class Scripted {
  opens: Dtype[] = []
  rounds: Dtype[] = []
  alive = 0
  mostAlive = 0
  now = 0
  onOpen: (dtype: Dtype) => void = () => {}
  gate: Promise<void> = Promise.resolve()

  constructor(private readonly scripts: Partial<Record<Dtype, Script>>) {
    vi.spyOn(performance, 'now').mockImplementation(() => this.now)
  }

  readonly open = async (dtype: Dtype): Promise<MeasurableModel> => {
    const { cosine = 1, milliseconds = 100, error, atOpen } = this.scripts[dtype] ?? {}
    this.opens.push(dtype)
    this.onOpen(dtype)
    await this.gate
    if (atOpen !== undefined) throw atOpen
    this.mostAlive = Math.max(this.mostAlive, ++this.alive)
    return {
      encode: async (texts, { signal }) => {
        signal.throwIfAborted()
        if (error !== undefined) throw error
        this.rounds.push(dtype)
        this.now += milliseconds
        const data = new Float32Array(2 * texts.length)
        for (let i = 0; i < texts.length; i++) data[2 * i] = 1
        data.set([cosine, Math.sqrt(1 - cosine * cosine)], data.length - 2)
        return sentenceEmbeddings('float32', data, 2, {
          tokenCounts: new Int32Array(texts.length).fill(10),
          omittedTokens: new Int32Array(texts.length),
          unknownTokens: new Int32Array(texts.length),
        })
      },
      dispose: async () => void this.alive--,
    }
  }
}

/** The module as in another process, with nothing in memory. */
async function freshProcess(): Promise<typeof import('../../src/model/dtype-choice.js')> {
  vi.resetModules()
  return import('../../src/model/dtype-choice.js')
}

let cache: string
const file = () => path.join(cache, 'dtype-choices.json')
beforeEach(async () => {
  cache = await mkdtemp(path.join(tmpdir(), 'embedcore-dtype-'))
  vi.stubEnv('EMBEDCORE_CACHE', cache)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
  await rm(cache, { recursive: true, force: true })
})

describe('which one', () => {
  test.each<[string, Partial<Record<Dtype, Script>>, Dtype]>([
    [
      'the fastest of those near enough',
      { bfloat16: { cosine: 0.99995, milliseconds: 50 }, int8: { cosine: 0.99995, milliseconds: 30 } },
      'int8',
    ],
    [
      'not the fastest, when it is too far off',
      { bfloat16: { cosine: 0.99995, milliseconds: 50 }, int8: { cosine: 0.9989, milliseconds: 30 } },
      'bfloat16',
    ],
    [
      'one text too far off is enough',
      { bfloat16: { cosine: 0.99985, milliseconds: 50 }, int8: { cosine: 0.9989, milliseconds: 30 } },
      'float32',
    ],
    ['no faster, no change', { bfloat16: { milliseconds: 100 }, int8: { milliseconds: 120 } }, 'float32'],
    ['hardly faster, no change', { bfloat16: { milliseconds: 97 }, int8: { milliseconds: 98 } }, 'float32'],
    ['hardly faster than bfloat16', { bfloat16: { milliseconds: 50 }, int8: { milliseconds: 49 } }, 'bfloat16'],
    [
      'a model that bfloat16 cannot run',
      { bfloat16: { error: new EmbedCoreError('ERR_EMBEDCORE_NON_FINITE', 'inf') }, int8: { milliseconds: 60 } },
      'int8',
    ],
    [
      'neither can be had',
      {
        bfloat16: { atOpen: new EmbedCoreError('ERR_EMBEDCORE_UNSUPPORTED_MODEL', 'no') },
        int8: { atOpen: new EmbedCoreError('ERR_EMBEDCORE_UNSUPPORTED_MODEL', 'no') },
      },
      'float32',
    ],
  ])('%s', async (_, script, expected) => {
    const models = new Scripted(script)
    const { chooseDtype } = await freshProcess()
    const { dtype, measured, remembered } = await chooseDtype('key', models.open, null)
    expect({ dtype, remembered }).toEqual({ dtype: expected, remembered: false })
    expect(measured.map((one) => one.dtype)).toEqual(['float32', 'bfloat16', 'int8'])
    expect({ opens: models.opens, alive: models.alive }).toEqual({ opens: ['float32', 'bfloat16', 'int8'], alive: 0 })
    expect(models.mostAlive).toBeLessThanOrEqual(2)
  })

  test('what was measured: the least cosine and the speed beside float32', async () => {
    const models = new Scripted({
      float32: { milliseconds: 200 },
      bfloat16: { cosine: 0.99995, milliseconds: 100 },
      int8: { cosine: 0.9985, milliseconds: 50 },
    })
    const { chooseDtype } = await freshProcess()
    const { TEXTS } = await import('../../src/model/dtype-measure.js')
    const perSecond = (milliseconds: number) => (1000 * 10 * TEXTS.length) / milliseconds
    const { measured } = await chooseDtype('key', models.open, null)
    const speeds = [200, 100, 50].map(perSecond)
    expect(measured.map((one) => one.tokensPerSecond)).toEqual(
      speeds.map((speed) => expect.closeTo(speed, 6) as number),
    )
    // Scripted cosines go through float32 vectors: half a unit in the last place of each of two numbers, and the core's
    // own sum.
    expect(measured.map((one) => one.leastCosine)).toEqual([1, expect.closeTo(0.99995, 6), expect.closeTo(0.9985, 6)])
    const timed = models.rounds.slice(2, 12)
    expect(
      timed.filter((dtype) => dtype === 'float32'),
      'in turn',
    ).toHaveLength(5)
  })

  test('a large model is timed three rounds and no more', async () => {
    const models = new Scripted({
      float32: { milliseconds: 9000 },
      bfloat16: { milliseconds: 5000 },
      int8: { milliseconds: 5000 },
    })
    await (await freshProcess()).chooseDtype('key', models.open, null)
    expect(models.rounds.filter((dtype) => dtype === 'bfloat16')).toHaveLength(1 + 3)
  })

  test("any other failure is the caller's, and the next load tries again", async () => {
    const broken = new Scripted({ bfloat16: { atOpen: new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', 'torn') } })
    const { chooseDtype } = await freshProcess()
    const calls = [chooseDtype('key', broken.open, null), chooseDtype('key', broken.open, null)]
    const failures = (await Promise.allSettled(calls)).map(
      (result) => (result as PromiseRejectedResult).reason as EmbedCoreError,
    )
    for (const failure of failures)
      expect(failure).toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_FILE', message: 'torn' })
    expect(failures[0]).not.toBe(failures[1])
    expect(broken.alive).toBe(0)
    const whole = new Scripted({})
    expect((await chooseDtype('key', whole.open, null)).remembered).toBe(false)
  })
})

describe('memory', () => {
  const fast = { bfloat16: { cosine: 0.99995, milliseconds: 50 } }

  test('a later load of the process, and one of another process', async () => {
    const models = new Scripted(fast)
    const first = await freshProcess()
    const measured = await first.chooseDtype('key', models.open, null)
    expect(await first.chooseDtype('key', models.open, null)).toEqual({ ...measured, remembered: true })
    await rm(file()) // The process does not need the file for what it has in memory.
    expect((await first.chooseDtype('key', models.open, null)).dtype).toBe('bfloat16')
    expect(models.opens).toHaveLength(3)

    const again = new Scripted(fast)
    await (await freshProcess()).chooseDtype('key', again.open, null)
    expect(await (await freshProcess()).chooseDtype('key', again.open, null)).toEqual({ ...measured, remembered: true })
    expect(again.opens).toHaveLength(3)
    await (await freshProcess()).chooseDtype('another key', again.open, null)
    expect(again.opens).toHaveLength(6)
    expect(Object.keys(JSON.parse(await readFile(file(), 'utf8')) as object)).toEqual(['key', 'another key'])
    expect(await readdir(cache), 'nothing unfinished is left').toEqual(['dtype-choices.json'])
  })

  test.each([
    '',
    '{',
    'null',
    '[]',
    '3',
    '{"key":3}',
    '{"key":{"dtype":"int4","measured":[]}}',
    '{"key":{"dtype":"int8","measured":[{"dtype":"int8"}]}}',
    '{"key":{"dtype":"int8","measured":[]}}',
    '{"__proto__":{"dtype":"int8"}}',
  ])('a broken file is written anew: %s', async (text) => {
    await writeFile(file(), text)
    const models = new Scripted(fast)
    expect(await (await freshProcess()).chooseDtype('key', models.open, null)).toMatchObject({
      dtype: 'bfloat16',
      remembered: false,
    })
    expect(await (await freshProcess()).chooseDtype('key', models.open, null)).toMatchObject({
      dtype: 'bfloat16',
      remembered: true,
    })
  })

  test('entries beyond the most are dropped, the oldest first', async () => {
    const entry = { dtype: 'float32', measured: [{ dtype: 'float32', leastCosine: 1, tokensPerSecond: 1 }] }
    await writeFile(
      file(),
      JSON.stringify(Object.fromEntries(Array.from({ length: 256 }, (_, i) => [`old ${i}`, entry]))),
    )
    await (await freshProcess()).chooseDtype('key', new Scripted(fast).open, null)
    const kept = Object.keys(JSON.parse(await readFile(file(), 'utf8')) as object)
    expect([kept.length, kept[0], kept.at(-1)]).toEqual([256, 'old 1', 'key'])
  })

  test('a cache that cannot be written is no error', async () => {
    await writeFile(path.join(cache, 'taken'), '')
    vi.stubEnv('EMBEDCORE_CACHE', path.join(cache, 'taken'))
    expect((await (await freshProcess()).chooseDtype('key', new Scripted(fast).open, null)).dtype).toBe('bfloat16')
    vi.stubEnv('EMBEDCORE_CACHE', cache)
    await mkdir(file()) // A directory with the name of the file.
    expect((await (await freshProcess()).chooseDtype('key', new Scripted(fast).open, null)).dtype).toBe('bfloat16')
    expect((await readdir(cache)).sort()).toEqual(['dtype-choices.json', 'taken'])
  })

  test('XDG_CACHE_HOME where EMBEDCORE_CACHE is not set', async () => {
    vi.stubEnv('EMBEDCORE_CACHE', '')
    vi.stubEnv('XDG_CACHE_HOME', cache)
    await (await freshProcess()).chooseDtype('key', new Scripted(fast).open, null)
    expect(await readdir(path.join(cache, 'embedcore'))).toEqual(['dtype-choices.json'])
  })
})

describe('loads at the same time', () => {
  test('measure once', async () => {
    const models = new Scripted({})
    const { chooseDtype } = await freshProcess()
    const results = await Promise.all(Array.from({ length: 5 }, () => chooseDtype('key', models.open, null)))
    expect(models.opens).toHaveLength(3)
    for (const result of results) expect(result).toEqual(results[0])
  })

  test('one that aborts leaves the others to it', async () => {
    const models = new Scripted({ int8: { milliseconds: 50 } })
    const stop = new AbortController()
    models.onOpen = (dtype) => dtype === 'bfloat16' && stop.abort(new Error('enough'))
    const { chooseDtype } = await freshProcess()
    const [aborted, waited] = await Promise.allSettled([
      chooseDtype('key', models.open, stop.signal),
      chooseDtype('key', models.open, null),
    ])
    expect(aborted).toMatchObject({ status: 'rejected', reason: { code: 'ERR_EMBEDCORE_ABORTED' } })
    expect(waited).toMatchObject({ status: 'fulfilled', value: { dtype: 'int8' } })
  })

  test('when the last one aborts, the measurement stops, its models go, and nothing is remembered', async () => {
    const models = new Scripted({})
    const stop = new AbortController()
    models.onOpen = (dtype) => dtype === 'bfloat16' && stop.abort()
    const { chooseDtype } = await freshProcess()
    await expect(chooseDtype('key', models.open, stop.signal)).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
    await vi.waitFor(() => expect(models.alive).toBe(0), { timeout: 20_000 })
    expect(models.opens).toEqual(['float32', 'bfloat16'])
    expect(await readdir(cache)).toEqual([])
    await expect(chooseDtype('key', models.open, AbortSignal.abort())).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_ABORTED',
    })
    expect((await chooseDtype('key', new Scripted({}).open, null)).remembered).toBe(false)
  })
})

describe('the key', () => {
  const machine = { version: '1.0.0', isa: 'avx2', threads: 2 }
  let model: ModelDescription
  beforeEach(async () => {
    const directory = await mkdtemp(path.join(cache, 'model-'))
    for (const name of ['config.json', 'model.safetensors', 'tokenizer.json'])
      await writeFile(path.join(directory, name), name)
    model = {
      kind: 'transformer',
      directory,
      weights: directory,
      root: directory,
      adapter: null,
      pooling: { modes: ['mean'], includePrompt: true },
      layerWeights: null,
      attention: [],
      modules: [],
      prompts: {},
      defaultPromptName: null,
      similarity: 'cosine',
      maxTokens: null,
      lowerCase: null,
      dimensions: null,
    }
  })

  test('is the same for the same files by another way, and another when machine or files are others', async () => {
    const { choiceKey } = await import('../../src/model/dtype-memory.js')
    const key = await choiceKey(machine, model)
    await symlink(model.directory, `${model.directory}-link`)
    await symlink(path.join(cache, 'nowhere'), path.join(model.directory, 'lost.bin'))
    expect(
      await choiceKey(machine, { ...model, directory: `${model.directory}-link`, root: `${model.directory}-link` }),
    ).toBe(key)
    const others = [
      await choiceKey({ ...machine, version: '1.0.1' }, model),
      await choiceKey({ ...machine, isa: 'plain' }, model),
      await choiceKey({ ...machine, threads: 1 }, model),
      await choiceKey(machine, { ...model, pooling: { modes: ['cls'], includePrompt: true } }),
    ]
    const weights = path.join(model.directory, 'model.safetensors')
    await utimes(weights, 1, 1)
    others.push(await choiceKey(machine, model))
    await writeFile(weights, 'more than before')
    await utimes(weights, 1, 1)
    others.push(await choiceKey(machine, model))
    await writeFile(path.join(model.directory, 'config.json'), '{"changed": true}')
    others.push(await choiceKey(machine, model))
    expect(new Set([key, ...others]).size).toBe(1 + others.length)
    const last = others.at(-1)
    await writeFile(path.join(model.directory, 'README.md'), 'no weight')
    expect(await choiceKey(machine, model)).toBe(last)
    await symlink(path.join(cache, 'nowhere'), path.join(model.directory, 'lost.safetensors'))
    expect(await choiceKey(machine, model), 'a link to nowhere is no failure').not.toBe(last)
  })
})
