/** Models on several GPUs, and GPUs that are lost or run out of memory while a model is on them. */
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { devices, load, similarity, type DeviceName, type Model } from '../../src/index.js'
import { FAKE_LIBRARY, FakeDevices } from '../support/fake-devices.js'
import { GOLDEN } from '../support/golden.js'

const fake = new FakeDevices()
const MODEL = path.join(GOLDEN, 'stack', 'mean-normalize')
const TEXTS = Array.from({ length: 200 }, (_, i) => `a text of some words ${i} ${'and more '.repeat(i % 9)}`)
process.env['EMBEDCORE_FAKE_DEVICES'] = fake.file
process.env['EMBEDCORE_CUDA_LIBRARY'] = FAKE_LIBRARY
// The fake devices compute as the reference does, so their vectors are the same to the last bit.
process.env['EMBEDCORE_CPU_ISA'] = 'reference'

let expected: Float32Array
const open = (device: DeviceName, threads = 1): Promise<Model> => load(MODEL, { device, threads })
beforeAll(async () => {
  const model = await open('cpu')
  expected = (await model.encode(TEXTS)).data
  await model.dispose()
})
beforeEach(() => fake.script())
afterAll(() => fake.close())

const failure = (code: string, message: RegExp) =>
  expect.objectContaining({ name: 'EmbedCoreError', code, message: expect.stringMatching(message) as string })

test('two GPUs and the CPU in one process give the same vectors', async () => {
  fake.script('devices 2')
  const models = await Promise.all([open('cuda:0'), open('cuda:1'), open('cpu')])
  expect(models.map(({ info }) => info.device)).toEqual(['cuda:0', 'cuda:1', 'cpu'])
  for (const { data } of await Promise.all(models.map((model) => model.encode(TEXTS)))) expect(data).toEqual(expected)
  const [a, b] = await Promise.all([models[0]!.encode('a b'), models[1]!.encode(TEXTS, { precision: 'int8' })])
  expect((await similarity(a, a)).data[0]).toBeCloseTo(1)
  expect(b.data).toBeInstanceOf(Int8Array)
  await Promise.all(models.map((model) => model.dispose()))
})

describe('a GPU that is lost', () => {
  test.each(['embed', 'linear', 'wait', 'download'])('in %s: its models end, no other does', async (where) => {
    fake.script('devices 2')
    const [lost, other, cpu] = await Promise.all([open('cuda:0'), open('cuda:1'), open('cpu')])
    fake.script('devices 2', `fail ${where}`)
    const calls = await Promise.allSettled(Array.from({ length: 5 }, () => lost.encode(TEXTS)))
    fake.script('devices 2')
    const said = failure(
      'ERR_EMBEDCORE_DEVICE',
      new RegExp(
        '^device 0 of fake cannot go on: the device failed in .*: an illegal memory access was encountered; ' +
          'load the model again, and restart the process if that fails too$',
      ),
    )
    for (const call of calls) expect(call).toEqual({ status: 'rejected', reason: said })
    await expect(lost.encode('one more')).rejects.toEqual(said)
    for (const model of [other, cpu]) expect((await model.encode(TEXTS)).data).toEqual(expected)
    const again = await open('cuda:0')
    expect((await again.encode(TEXTS)).data).toEqual(expected)
    await expect(lost.encode('one more')).rejects.toEqual(said)
    await Promise.all([lost, other, cpu, again].map((model) => model.dispose()))
  })

  test('while a model is loaded', async () => {
    fake.script('fail upload')
    await expect(open('cuda')).rejects.toEqual(failure('ERR_EMBEDCORE_DEVICE', /an illegal memory access/))
    fake.script()
    await (await open('cuda')).dispose()
  })
})

describe('memory that runs out', () => {
  test('while a model is loaded', async () => {
    fake.script('memory 5000')
    await expect(open('cuda')).rejects.toEqual(
      failure('ERR_EMBEDCORE_OUT_OF_MEMORY', /^no memory for \d+ bytes on device 0 of fake$/),
    )
    // What was taken is given back.
    expect((await devices())[1]!.freeBytes).toBe(5000)
  })

  test('in a batch: it is computed in parts', async () => {
    const model = await open('cuda')
    fake.script('late 100')
    expect((await model.encode(TEXTS)).data).toEqual(expected)
    await model.dispose()
  })

  test('for a single text: the call fails, the next one works', async () => {
    const model = await open('cuda')
    fake.script('late 10')
    const long = 'word '.repeat(12)
    await expect(model.encode(long)).rejects.toEqual(failure('ERR_EMBEDCORE_OUT_OF_MEMORY', /^no memory for /))
    expect((await model.encode('word')).shape[0]).toBe(1)
    fake.script()
    expect((await model.encode(TEXTS)).data).toEqual(expected)
    await model.dispose()
  })

  test('an abort while it runs out', async () => {
    const model = await open('cuda')
    fake.script('late 1', 'hold')
    const stop = new AbortController()
    const call = model.encode(TEXTS, { signal: stop.signal })
    setTimeout(() => stop.abort(), 20)
    await expect(call).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
    fake.script()
    expect((await model.encode(TEXTS)).data).toEqual(expected)
    await model.dispose()
  })
})
