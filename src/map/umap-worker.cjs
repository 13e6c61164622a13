// UMAP in a thread of its own: takes rows, posts the rounds that are done and then the points.
'use strict'
const { parentPort, workerData } = require('node:worker_threads')
const { UMAP } = require('umap-js')

/** splitmix32: numbers in [0, 1) that depend on the seed alone. */
function random(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return ((z ^ (z >>> 15)) >>> 0) / 4294967296
  }
}

const ROUNDS_BETWEEN = 10
const { data, width, neighbors, minDist, epochs, seed } = workerData
const rows = Array.from({ length: data.length / width }, (_, i) =>
  Array.from(data.subarray(i * width, (i + 1) * width)),
)
const umap = new UMAP({ nComponents: 2, nNeighbors: neighbors, minDist, nEpochs: epochs, random: random(seed) })
const total = umap.initializeFit(rows)
for (let done = 0; done < total; done++) {
  umap.step()
  if (done % ROUNDS_BETWEEN === 0) parentPort.postMessage({ done, total })
}
const points = Float64Array.from(umap.getEmbedding().flat())
parentPort.postMessage({ points }, [points.buffer])
