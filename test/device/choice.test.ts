/** Which device a load takes, what `devices()` lists, and what is said where one cannot be used. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { devices, load, type DeviceName, type LoadOptions } from '../../src/index.js'
import { FAKE_LIBRARY, FakeDevices } from '../support/fake-devices.js'
import { GOLDEN } from '../support/golden.js'

const fake = new FakeDevices()
const MODEL = path.join(GOLDEN, 'stack', 'mean-normalize')
process.env['EMBEDCORE_FAKE_DEVICES'] = fake.file
delete process.env['EMBEDCORE_CPU_ISA']

const warnings: (Error & { code?: string })[] = []
process.on('warning', (warning) => warnings.push(warning))
const turn = () => new Promise((resolve) => setImmediate(resolve))

beforeEach(() => {
  process.env['EMBEDCORE_CUDA_LIBRARY'] = FAKE_LIBRARY
  delete process.env['EMBEDCORE_CPU_ISA']
  fake.script()
})
afterAll(() => fake.close())

/** What a model loaded in this way says of itself. */
async function infoOf(options: LoadOptions = {}, model = MODEL) {
  const { info, dispose } = await load(model, options).then((loaded) => ({
    info: loaded.info,
    dispose: () => loaded.dispose(),
  }))
  await dispose()
  return info
}

const failure = (code: string, message: RegExp) =>
  expect.objectContaining({ name: 'EmbedCoreError', code, message: expect.stringMatching(message) as string })
const refused = (device: DeviceName, reason: RegExp) =>
  expect(infoOf({ device })).rejects.toEqual(failure('ERR_EMBEDCORE_DEVICE', reason))

describe('devices()', () => {
  test('the CPU first, then every GPU', async () => {
    fake.script('devices 2', 'capability 86', 'memory 1000000', 'unusable 1 it is too old: get another')
    const [cpu, first, second, ...more] = await devices()
    expect(more).toEqual([])
    expect(cpu).toMatchObject({ id: 'cpu', computeCapability: null, driver: null, usable: true, reason: null })
    expect(cpu!.backend).toMatch(/^cpu-/)
    expect(cpu!.name).not.toBe('')
    expect(cpu!.memoryBytes).toBeGreaterThan(cpu!.freeBytes)
    const gpu = {
      id: 'cuda:0',
      name: 'Fake GPU 0',
      backend: 'fake',
      computeCapability: '8.6',
      memoryBytes: 1_000_000,
      freeBytes: 1_000_000,
      driver: '1.2.3, CUDA 13.0',
      usable: true,
      reason: null,
      detail: { library: FAKE_LIBRARY },
    }
    expect(first).toEqual(gpu)
    const reason = 'it is too old: get another'
    expect(second).toEqual({ ...gpu, id: 'cuda:1', name: 'Fake GPU 1', usable: false, reason })
  })

  test('free memory is that of the device', async () => {
    fake.script('devices 2')
    const model = await load(MODEL, { device: 'cuda:1' })
    const [, first, second] = await devices()
    expect(first!.freeBytes).toBe(first!.memoryBytes)
    expect(second!.memoryBytes - second!.freeBytes).toBeGreaterThan(1000)
    await model.dispose()
    expect((await devices())[2]!.freeBytes).toBe(second!.memoryBytes)
  })

  test('without a GPU, one entry says why', async () => {
    fake.script('devices 0', 'none there is no NVIDIA driver: libcuda.so.1 was not found')
    expect((await devices()).slice(1)).toEqual([
      expect.objectContaining({
        id: 'cuda',
        usable: false,
        reason: 'there is no NVIDIA driver: libcuda.so.1 was not found',
      }),
    ])
  })

  test('a CPU path that cannot be is the reason of the CPU, and GPUs are listed all the same', async () => {
    process.env['EMBEDCORE_CPU_ISA'] = 'sse17'
    const [cpu, gpu] = await devices()
    expect(cpu).toMatchObject({ id: 'cpu', usable: false, reason: expect.stringContaining('sse17') as string })
    expect(gpu).toMatchObject({ id: 'cuda:0', usable: true })
  })
})

describe("device: 'auto'", () => {
  test('is the first GPU that can be used', async () => {
    expect(await infoOf()).toMatchObject({ device: 'cuda:0', isa: 'fake' })
    fake.script('devices 2', 'unusable 0 it is too old')
    expect(await infoOf({ device: 'auto' })).toMatchObject({ device: 'cuda:1' })
  })

  test('is the CPU, silently, without a GPU', async () => {
    fake.script('devices 0')
    expect((await infoOf()).device).toBe('cpu')
  })

  test('is the CPU for static models, and where EMBEDCORE_CPU_ISA names a path of it', async () => {
    const model = await load()
    expect(model.info).toMatchObject({ kind: 'static', device: 'cpu' })
    await model.dispose()
    process.env['EMBEDCORE_CPU_ISA'] = 'plain'
    expect(await infoOf()).toMatchObject({ device: 'cpu', isa: 'cpu-plain' })
    expect(await infoOf({ device: 'cuda' })).toMatchObject({ device: 'cuda:0', isa: 'fake' })
  })

  // Last: there is one warning in a process. The loads above gave none.
  test('is the CPU, with one warning, where a GPU is there and cannot be used', async () => {
    await turn()
    expect(warnings).toEqual([])
    fake.script('unusable 0 its driver is too old: install 580 or later')
    expect((await infoOf()).device).toBe('cpu')
    process.env['EMBEDCORE_CUDA_LIBRARY'] = '/nowhere/plugin.so'
    expect((await infoOf()).device).toBe('cpu')
    await turn()
    expect(warnings.map(({ code, message }) => ({ code, message }))).toEqual([
      {
        code: 'EMBEDCORE_DEVICE_UNUSABLE',
        message:
          'Models run on the CPU: cuda:0 (Fake GPU 0) cannot be used: its driver is too old: install 580 or later. ' +
          "With device: 'cpu' there is no such warning",
      },
    ])
  })
})

describe('a named device', () => {
  test('is taken, or refused with the reason', async () => {
    fake.script('devices 2', 'unusable 1 it is too old')
    expect((await infoOf({ device: 'cuda' })).device).toBe('cuda:0')
    expect((await infoOf({ device: 'cuda:0' })).device).toBe('cuda:0')
    expect((await infoOf({ device: 'cpu' })).device).toBe('cpu')
    await refused('cuda:1', /^The device cuda:1 cannot be used: it is too old$/)
    await refused('cuda:2', /cuda:2 cannot be used: the last one here is 'cuda:1'$/)
    fake.script('unusable 0 it is too old')
    await refused('cuda', /^The device cuda cannot be used: it is too old$/)
    await refused('cuda:7', /the only CUDA device here is 'cuda:0'$/)
    fake.script('devices 0', 'none there is no NVIDIA driver')
    for (const device of ['cuda', 'cuda:0'] as const) await refused(device, /there is no NVIDIA driver$/)
  })

  test('that does not open says why', async () => {
    fake.script('open the driver says no')
    await refused('cuda', /cannot open device 0 of fake: the driver says no/)
  })

  test('is refused before the model is looked for', async () => {
    fake.script('devices 0')
    await expect(load('/nowhere', { device: 'cuda' })).rejects.toEqual(failure('ERR_EMBEDCORE_DEVICE', /cuda/))
  })
})

describe('a library that is no backend', () => {
  const library = (file: string) => (process.env['EMBEDCORE_CUDA_LIBRARY'] = file)

  test.each([
    ['missing', () => '/nowhere/plugin.so', /EMBEDCORE_CUDA_LIBRARY names \/nowhere\/plugin\.so, which does not exist/],
    [
      'no library',
      () => {
        const file = path.join(fake.folder, 'text.so')
        writeFileSync(file, 'text')
        return file
      },
      /the CUDA backend does not open: .*text\.so.*"npm run build:cuda" in the folder of embedcore builds it/,
    ],
    [
      'of another version',
      () => {
        fake.script('version other')
        return fake.library('other.so')
      },
      /other\.so belongs to another version of embedcore; "npm run build:cuda"/,
    ],
    ['of another kind', () => '/lib/x86_64-linux-gnu/libm.so.6', /is not a backend of embedcore/],
  ])('%s', async (_, make, reason) => {
    library(make())
    await refused('cuda', reason)
    expect((await devices())[1]).toMatchObject({
      id: 'cuda',
      usable: false,
      reason: expect.stringMatching(reason) as string,
    })
  })
})

test("dtype: 'auto' is what the GPU computes in, without a measurement", async () => {
  const choice = { measured: [], remembered: false }
  expect(await infoOf({ dtype: 'auto' })).toMatchObject({ device: 'cuda:0', dtype: 'bfloat16', dtypeChoice: choice })
  fake.script('capability 75')
  expect((await infoOf({ dtype: 'auto' })).dtype).not.toBe('bfloat16')
  expect((await infoOf()).dtypeChoice).toBeNull()
})
