// Several models run in several worker threads at the same time and give the same vectors as on the main thread;
// threads that end during calls do no harm.
import assert from 'node:assert/strict'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { embedCore } from '../../dist/index.js'
import { STACKS, texts } from './support/models.mjs'

if (isMainThread) {
  const expected = {}
  for (const stack of STACKS) {
    const model = await embedCore.load(stack)
    expected[stack] = (await model.encode(texts)).data
    await model.dispose()
  }
  const finished = []
  for (let round = 0; round < 3; round++) {
    for (const stack of STACKS) {
      const worker = new Worker(new URL(import.meta.url), { workerData: { stack, forever: false } })
      finished.push(
        new Promise((resolve, reject) => {
          worker.on('message', (data) => resolve(assert.deepEqual(data, expected[stack])))
          worker.on('error', reject)
        }),
      )
    }
    const cut = new Worker(new URL(import.meta.url), { workerData: { stack: STACKS[0], forever: true } })
    finished.push(
      new Promise((resolve, reject) => {
        cut.on('message', () => setTimeout(() => cut.terminate().then(resolve, reject), 5))
        cut.on('error', reject)
      }),
    )
  }
  await Promise.all(finished)
  console.log(`${finished.length} worker threads`)
} else {
  const { stack, forever } = workerData
  const model = await embedCore.load(stack, { threads: 2 })
  if (forever) {
    parentPort.postMessage('started')
    for (;;) await Promise.all([model.encode(texts), model.encode(texts)])
  }
  parentPort.postMessage((await model.encode(texts)).data)
  await model.dispose()
}
