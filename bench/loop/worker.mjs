/** The worker thread of the case `terminate`: loads a model, says so, and keeps calls under way until it is ended. */
import { parentPort, workerData } from 'node:worker_threads'
import { importPackage } from '../lib/package.mjs'

const embedCore = await importPackage()
const model = await embedCore.load(workerData.directory, workerData.options)
const vectors = new Float32Array(workerData.similarityRows * model.info.dimension).fill(0.5)
const lane = async (call) => {
  for (let first = true; ; first = false) {
    const result = call()
    if (first) parentPort.postMessage('under way')
    await result
  }
}
await Promise.all([lane(() => model.encode(workerData.texts)), lane(() => model.similarity(vectors, vectors))])
