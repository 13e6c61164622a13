/**
 * node-llama-cpp's embedding context. It evaluates one text at a time; its vectors are normalised here, as users of the
 * library have to do.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { serve } from './protocol.mjs'

serve(async ({ model, threads, file }) => {
  const { LlamaLogLevel, getLlama } = await import('node-llama-cpp')
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    maxThreads: threads,
    logLevel: LlamaLogLevel.error,
  })
  const handle = await llama.loadModel({ modelPath: join(model.folder, 'gguf', file) })
  const context = await handle.createEmbeddingContext({ contextSize: 512, batchSize: 512, threads })
  const root = createRequire(import.meta.url).resolve('node-llama-cpp')
  return {
    version: JSON.parse(readFileSync(join(root, '..', '..', 'package.json'), 'utf8')).version,
    async run(texts) {
      let out = null
      for (let row = 0; row < texts.length; row++) {
        const { vector } = await context.getEmbeddingFor(texts[row])
        out ??= new Float32Array(texts.length * vector.length)
        const scale = 1 / Math.hypot(...vector)
        vector.forEach((value, c) => (out[row * vector.length + c] = value * scale))
      }
      return out
    },
    tokenCounts: (texts) => texts.map((text) => context.calculateInputLength(text)),
  }
})
