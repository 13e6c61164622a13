// Memory fails inside the addon, at one allocation after the other: every call ends with ERR_EMBEDCORE_OUT_OF_MEMORY or
// well, nothing is left uncaught or waiting, and the next call works.
import assert from 'node:assert/strict'
import { Worker } from 'node:worker_threads'
import { embedCore } from '../../dist/index.js'
import { failEach, reasonNotTo, runChildren } from './support/faults.mjs'
import { STACKS } from './support/models.mjs'

const EXPECTED = ['ERR_EMBEDCORE_OUT_OF_MEMORY']
const [what] = process.argv.slice(2)
const errors = []
const collect = (error) => void errors.push(error)
const load = () => embedCore.load(STACKS[0], { threads: 2 })
const texts = ['one', 'two texts', 'a text of some more words than the others', '']
const vectors = { data: Float32Array.from({ length: 64 }, (_, i) => i + 1), shape: [4, 16] }

/** What is done while an allocation fails; each returns nothing and throws nothing. */
const operations = {
  async loads() {
    const model = await load().catch(collect)
    await model?.dispose().catch(collect)
  },
  async encodes(model) {
    const stop = new AbortController()
    await Promise.all([
      model.encode(texts).catch(collect),
      model.encode(texts, { output: 'token' }).catch(collect),
      model.encode('short', { pooling: 'max', signal: stop.signal }).catch(collect),
    ])
  },
  async compares(model) {
    await model.encode(texts, { precision: 'binary' }).catch(collect)
    await embedCore.similarity(vectors, vectors).catch(collect)
    await embedCore.quantizationRanges(vectors).catch(collect)
  },
  async disposes(model) {
    const one = await load()
    const running = one.encode(texts).catch((error) => error.code === 'ERR_EMBEDCORE_DISPOSED' || collect(error))
    await one.dispose().catch(collect)
    await running
    await model.encode('another model').catch(collect)
  },
  async environments() {
    const script = `
      const { parentPort, workerData } = require('node:worker_threads')
      const { embedCore } = require(workerData)
      embedCore.similarity(new Float32Array(4), new Float32Array(4), { dimension: 2 }).then(
        () => parentPort.postMessage(null),
        ({ code, message }) => parentPort.postMessage({ code, message }),
      )`
    const worker = new Worker(script, { eval: true, workerData: new URL('../../dist/index.cjs', import.meta.url).pathname })
    const ended = new Promise((resolve) => worker.once('exit', resolve))
    const error = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
    if (error) errors.push(Object.assign(new Error(error.message), { code: error.code }))
    assert.equal(await ended, 0)
  },
}

if (what === undefined) {
  const reason = reasonNotTo()
  if (reason !== null) console.log(`not run: ${reason}`)
  else runChildren(import.meta.url, Object.keys(operations).map((name) => [name]))
} else {
  const model = await load()
  await model.encode(texts)
  const attempt = async () => {
    errors.length = 0
    await operations[what](model)
    return errors
  }
  await attempt()
  assert.deepEqual(errors, [])
  const expected = what === 'environments' ? [...EXPECTED, 'ERR_EMBEDCORE_NATIVE_LOAD'] : EXPECTED
  // The C++ tests fail every allocation of a load.
  const seen = await failEach('allocations', expected, attempt, what === 'loads' ? (n) => (n < 100 ? 1 : 23) : undefined)
  assert.deepEqual(await attempt(), [])
  await model.dispose()
  console.log(JSON.stringify(seen))
}
