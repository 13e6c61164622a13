// Allocations fail inside the addon, one after the other: every call succeeds or ends with ERR_EMBEDCORE_OUT_OF_MEMORY,
// no error is uncaught, no promise keeps waiting, and the next call works.
import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { embedCore } from '../../dist/index.js'
import { failEach, reasonNotTo, runChildren } from './support/faults.mjs'
import { STACKS } from './support/models.mjs'

const EXPECTED = ['ERR_EMBEDCORE_OUT_OF_MEMORY']
const [what, isa] = process.argv.slice(2)
const errors = []
const collect = (error) => void errors.push(error)
const load = () => embedCore.load(STACKS[0], { threads: 2 })
const texts = ['one', 'two texts', 'a text of some more words than the others', '']
const vectors = { data: Float32Array.from({ length: 64 }, (_, i) => i + 1), shape: [4, 16] }

/** Runs a script in a worker_thread, which posts null or an error. */
async function inWorker(script) {
  const head = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { embedCore } = require(workerData.addon)`
  const workerData = { addon: fileURLToPath(new URL('../../dist/index.cjs', import.meta.url)), model: STACKS[0] }
  const worker = new Worker(head + script, { eval: true, workerData })
  const ended = new Promise((resolve) => worker.once('exit', resolve))
  const error = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  if (error) errors.push(Object.assign(new Error(error.message), { code: error.code }))
  assert.equal(await ended, 0)
}

/** The operations during which an allocation fails; each returns nothing and does not throw. */
const operations = {
  async loads() {
    const model = await embedCore.load(STACKS[2], { threads: 2 }).catch(collect)
    await model?.dispose().catch(collect)
  },
  async encodes(model) {
    await Promise.all([
      model.encode(texts).catch(collect),
      model.encode(texts, { output: 'token' }).catch(collect),
      model.encode('short', { pooling: 'max' }).catch(collect),
    ])
  },
  async aborts(model) {
    const stop = new AbortController()
    const collectOthers = (error) => error.code === 'ERR_EMBEDCORE_ABORTED' || collect(error)
    const calls = [
      embedCore.load(STACKS[1], { signal: stop.signal }).then((other) => other.dispose()),
      model.encode(texts, { signal: stop.signal }),
      embedCore.similarity(vectors, vectors, { signal: stop.signal }),
    ].map((call) => call.catch(collectOthers))
    setImmediate(() => stop.abort())
    await Promise.all(calls)
  },
  async compares(model) {
    await model.encode(texts, { precision: 'binary' }).catch(collect)
    await embedCore.similarity(vectors, vectors).catch(collect)
    await embedCore.quantizationRanges(vectors).catch(collect)
  },
  async disposes(model) {
    const one = await load().catch(collect)
    if (one === undefined) return
    const running = one.encode(texts).catch((error) => error.code === 'ERR_EMBEDCORE_DISPOSED' || collect(error))
    await one.dispose().catch(collect)
    await running
    await model.encode('another model').catch(collect)
  },
  async environments() {
    await inWorker(`
      embedCore.similarity(new Float32Array(4), new Float32Array(4), { dimension: 2 }).then(
        () => parentPort.postMessage(null),
        ({ code, message }) => parentPort.postMessage({ code, message }),
      )`)
  },
  // The environment ends while a load, calls and a comparison are running.
  async leaves() {
    await inWorker(`
      const end = ({ code, message } = {}) => {
        parentPort.postMessage(code === undefined ? null : { code, message })
        process.exit(0)
      }
      embedCore.load(workerData.model).then((model) => {
        void model.encode('a text').catch(end)
        void embedCore.similarity(new Float32Array(4), new Float32Array(4), { dimension: 2 }).catch(end)
        void embedCore.load(workerData.model).catch(end)
        setImmediate(end)
      }, end)`)
  },
}

if (what === undefined) {
  const reason = reasonNotTo()
  if (reason !== null) console.log(`not run: ${reason}`)
  else {
    const runs = Object.keys(operations).map((name) => [name])
    runChildren(import.meta.url, [...runs, ['encodes', 'reference-device'], ['disposes', 'reference-device']])
  }
} else {
  if (isa !== undefined) process.env.EMBEDCORE_CPU_ISA = isa
  const model = await load()
  await model.encode(texts)
  const attempt = async () => {
    errors.length = 0
    await operations[what](model)
    return errors
  }
  await attempt()
  assert.deepEqual(errors, [])
  const opensAddon = what === 'environments' || what === 'leaves'
  const expected = opensAddon ? [...EXPECTED, 'ERR_EMBEDCORE_NATIVE_LOAD'] : EXPECTED
  // The C++ tests fail every allocation of a load.
  const seen = await failEach('allocations', expected, attempt, what === 'loads' ? (n) => (n < 100 ? 1 : 7) : undefined)
  assert.deepEqual(await attempt(), [])
  await model.dispose()
  console.log(JSON.stringify(seen))
}
