// A worker thread ends, by terminate() and by exit() of the main thread, while a load, calls or comparisons are under
// way in it. The main thread does not use the package, so that the addon goes with the worker.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { makeModel } from '../support/made-model.mjs'
import { STACKS, texts } from './support/models.mjs'

const WORKS = ['load', 'encode', 'tokens', 'similarity']
const ENDS = ['terminate', 'exit', 'throw']
const DELAYS = [0, 5, 30]
const STATUS = { terminate: 3, exit: 4, throw: 1 }
const script = fileURLToPath(import.meta.url)
const [end, delay, work, directory] = process.argv.slice(2)

if (!isMainThread) {
  const { embedCore } = await import('../../dist/index.js')
  const large = new Float32Array(3000 * 384).fill(0.5)
  const model = await embedCore.load(STACKS[0])
  parentPort.postMessage('started')
  for (;;) {
    if (workerData.work === 'load') await Promise.all([1, 2].map(() => embedCore.load(workerData.directory)))
    if (workerData.work === 'encode') await Promise.all([1, 2, 3].map(() => model.encode(texts)))
    if (workerData.work === 'tokens') await Promise.all([1, 2].map(() => model.encode(texts, { output: 'token' })))
    if (workerData.work === 'similarity')
      await Promise.all([1, 2, 3].map(() => embedCore.similarity(large, large, { dimension: 384 })))
  }
} else if (end !== undefined) {
  const worker = new Worker(new URL(import.meta.url), { workerData: { work, directory } })
  worker.on('error', (error) => {
    console.error(error)
    process.exit(9)
  })
  await new Promise((resolve) => worker.once('message', resolve))
  await sleep(Number(delay))
  if (end === 'exit') process.exit(STATUS.exit)
  if (end === 'throw') throw new Error('on purpose')
  assert.equal(await worker.terminate(), 1)
  process.exit(STATUS.terminate)
} else if (process.env.LD_PRELOAD) {
  // A sanitizer changes the exit status of a process that ends in the middle of its work.
  console.log('not run: another library is preloaded, which may change exit statuses')
} else {
  const folder = mkdtempSync(join(tmpdir(), 'embedcore-terminate-'))
  try {
    const model = makeModel(folder, { layers: 8 })
    let runs = 0
    for (const work of WORKS) {
      for (const end of ENDS) {
        for (const delay of DELAYS) {
          const run = spawnSync(process.execPath, [script, end, String(delay), work, model], { encoding: 'utf8' })
          const what = `${work}, ${end} after ${delay} ms: ${run.stderr}`
          assert.equal(run.signal, null, what)
          assert.equal(run.status, STATUS[end], what)
          runs++
        }
      }
    }
    console.log(`${runs} ends of a worker thread at work`)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
