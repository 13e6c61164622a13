/** The worker thread of the case `terminate`: keeps calls running until it is terminated. */
import { parentPort, workerData } from 'node:worker_threads'
import { importPackage } from '../lib/package.mjs'

const embedCore = await importPackage()
const model = await embedCore.load(workerData.directory, workerData.options)
const vectors = new Float32Array(workerData.similarityRows * model.info.dimension).fill(0.5)
const lane = async (call) => {
  await call()
  parentPort.postMessage('under way')
  for (;;) await call()
}
await Promise.all([lane(() => model.encode(workerData.texts)), lane(() => model.similarity(vectors, vectors))])
