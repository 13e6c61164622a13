/** Processes with a GPU: the library beside the addon, ends with work under way, worker threads, the command. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { copyFileSync, existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { FAKE_LIBRARY, FakeDevices } from '../support/fake-devices.js'
import { GOLDEN, ROOT } from '../support/golden.js'

const fake = new FakeDevices()
const MODEL = path.join(GOLDEN, 'stack', 'mean-normalize')
const dist = path.join(ROOT, 'dist')
beforeAll(() => expect(existsSync(path.join(dist, 'cli.js')), 'run npm run build').toBe(true))
beforeEach(() => fake.script())
afterAll(() => fake.close())

interface Ended {
  code: number | null
  signal: string | null
  out: string
  err: string
}

/** Runs node; `onOutput` is called with each piece of its standard output. */
function node(
  args: string[],
  env = fake.env(),
  onOutput?: (piece: string, child: ChildProcessWithoutNullStreams) => void,
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { cwd: ROOT, env, timeout: 50_000 })
    let [out, err] = ['', '']
    child.stdout.on('data', (piece: Buffer) => {
      out += String(piece)
      onOutput?.(String(piece), child)
    })
    child.stderr.on('data', (piece: Buffer) => (err += String(piece)))
    child.on('close', (code, signal) => resolve({ code, signal, out: out.trim(), err: err.trim() }))
  })
}

const script = (body: string) => [
  '--input-type=module',
  '-e',
  `import { embedCore } from ${JSON.stringify(path.join(dist, 'index.js'))}
   const texts = Array.from({ length: 200 }, (_, i) => 'a text of some words ' + i)
   const MODEL = ${JSON.stringify(MODEL)}
   ${body}`,
]

describe('the library beside the addon', () => {
  const alone = (name: string): NodeJS.ProcessEnv => {
    const addon = path.join(fake.folder, name)
    copyFileSync(createRequire(import.meta.url).resolve(path.join(ROOT, 'build/Release/embedcore.node')), addon)
    const { EMBEDCORE_CUDA_LIBRARY: _named, ...env } = fake.env()
    return { ...env, EMBEDCORE_ADDON: addon }
  }
  const body = `
    const model = await embedCore.load(MODEL)
    console.log(model.info.device)
    const said = (error) => error.code + ' ' + error.message
    const refused = await embedCore.load(MODEL, { device: 'cuda' }).then((one) => one.info.device, said)
    console.log(refused)`

  test('is not needed; without it, a GPU is refused with what to do, and nothing is printed', async () => {
    const { code, out, err } = await node(script(body), alone('embedcore.node'))
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out.split('\n')).toEqual([
      'cpu',
      'ERR_EMBEDCORE_DEVICE The device cuda cannot be used: the CUDA backend is not there: ' +
        `${fake.folder}/libembedcore_cuda.so does not exist; ` +
        '"npm run build:cuda" in the folder of embedcore builds it',
    ])
  })

  test('is found', async () => {
    copyFileSync(FAKE_LIBRARY, path.join(fake.folder, 'libembedcore_cuda.so'))
    const { code, out, err } = await node(script(body), alone('another.node'))
    expect({ code, out, err }).toEqual({ code: 0, out: 'cuda:0\ncuda:0', err: '' })
  })
})

describe('a process that ends while the GPU works', () => {
  test.each([
    ['by exit()', 'setTimeout(() => process.exit(7), 50)', 7],
    ['by an error', "setTimeout(() => { throw new Error('on purpose') }, 50)", 1],
  ])('%s', async (_, end, status) => {
    // The GPU never answers, and nobody waits for it.
    const hold = script(`
      const model = await embedCore.load(MODEL)
      process.stdout.write('loaded')
      process.stdin.once('data', () => {
        for (let i = 0; i < 20; i++) void model.encode(texts)
        ${end}
      })`)
    const { code, signal } = await node(hold, fake.env(), (_piece, child) => {
      fake.script('hold')
      child.stdin.write('go')
    })
    expect({ code, signal }).toEqual({ code: status, signal: null })
  })

  test('by finishing it', async () => {
    const { code, out } = await node(
      script(
        `const model = await embedCore.load(MODEL)
        void model.encode(texts).then(({ shape }) => console.log(shape[0]))`,
      ),
    )
    expect({ code, out }).toEqual({ code: 0, out: '200' })
  })
})

test('worker threads share the model of a GPU; one that ends leaves the others alone', async () => {
  const { code, out, err } = await node(
    script(`
      const { Worker } = await import('node:worker_threads')
      const expected = Buffer.from((await (await embedCore.load(MODEL)).encode(texts)).data.buffer).toString('hex')
      const source = \`
        const { parentPort, workerData } = require('node:worker_threads')
        const { embedCore } = require(workerData.index)
        embedCore.load(workerData.model, { device: workerData.device }).then(async (model) => {
          const { data } = await model.encode(workerData.texts)
          parentPort.postMessage(model.info.device + ' ' + Buffer.from(data.buffer).toString('hex'))
          for (;;) await model.encode(workerData.texts)
        })\`
      const index = ${JSON.stringify(path.join(dist, 'index.cjs'))}
      const devices = ['cuda:0', 'cuda:1', 'auto', 'cuda', 'cuda:1']
      const answers = await Promise.all(devices.map((device) => new Promise((resolve, reject) => {
        const workerData = { index, model: MODEL, device, texts }
        const worker = new Worker(source, { eval: true, execArgv: [], workerData })
        worker.once('error', reject)
        worker.once('message', (answer) => worker.terminate().then(() => resolve(answer), reject))
      })))
      console.log(answers.map((answer) => answer.split(' ')[0]).join())
      console.log(answers.every((answer) => answer.split(' ')[1] === expected))`),
    (fake.script('devices 2'), fake.env()),
  )
  expect({ code, err }).toEqual({ code: 0, err: '' })
  expect(out).toBe('cuda:0,cuda:1,cuda:0,cuda:0,cuda:1\ntrue')
})

test('one warning for all threads of a process', async () => {
  fake.script('unusable 0 it is too old')
  const { code, err } = await node(
    script(`
      const { Worker } = await import('node:worker_threads')
      const source = \`
        const { model, index } = require('node:worker_threads').workerData
        require(index).embedCore.load(model)\`
      const index = ${JSON.stringify(path.join(dist, 'index.cjs'))}
      const ends = Array.from({ length: 3 }, () => new Promise((resolve) =>
        new Worker(source, { eval: true, execArgv: [], workerData: { index, model: MODEL } }).once('exit', resolve)))
      await Promise.all([embedCore.load(MODEL), ...ends])`),
  )
  expect(code).toBe(0)
  expect(err.match(/EMBEDCORE_DEVICE_UNUSABLE/g)).toHaveLength(1)
})

describe('the command', () => {
  const command = (...args: string[]) => node([path.join(dist, 'cli.js'), ...args])

  test('doctor names every GPU', async () => {
    fake.script('devices 2', 'unusable 1 it is too old: get another')
    const { code, out } = await command('doctor')
    expect(code).toBe(0)
    expect(out).toMatch(
      new RegExp(
        'device cuda:0 +Fake GPU 0, compute capability 9\\.0, 1\\.00 GiB of memory, 1\\.00 GiB of them free, ' +
          'driver 1\\.2\\.3, CUDA 13\\.0\\n +usable, by fake\\n',
      ),
    )
    expect(out).toMatch(/device cuda:1 +Fake GPU 1, .*\n +cannot be used: it is too old: get another\n/)
    const json = JSON.parse((await command('doctor', '--json')).out) as { devices: { id: string; usable: boolean }[] }
    expect(json.devices.map(({ id, usable }) => [id, usable])).toEqual([
      ['cpu', true],
      ['cuda:0', true],
      ['cuda:1', false],
    ])
  })

  test('--device', async () => {
    fake.script('devices 2')
    const info = await command('info', MODEL, '--device', 'cuda:1', '--json')
    expect(JSON.parse(info.out)).toMatchObject({ device: 'cuda:1' })
    expect((await command('info', MODEL, '--device', 'cuda')).out).toMatch(/runs on +cuda:0 \(fake\)$/)
    const wrong = await command('encode', '--device', 'cuda:2', '--model', MODEL, 'a')
    expect(wrong).toMatchObject({ code: 1, out: '' })
    expect(wrong.err).toContain("The device cuda:2 cannot be used: the last one here is 'cuda:1'")
  })
})
