/** transformers.js as its documentation shows it: a feature-extraction pipeline, mean pooling, normalised. */
import { basename, dirname } from 'node:path'
import { serve } from './protocol.mjs'

serve(async ({ model, threads, dtype }) => {
  const { env, pipeline } = await import('@huggingface/transformers')
  const importedAt = performance.now()
  env.allowRemoteModels = false
  env.localModelPath = dirname(model.layout)
  const extract = await pipeline('feature-extraction', basename(model.layout), {
    dtype,
    session_options: { intraOpNumThreads: threads, interOpNumThreads: 1 },
  })
  return {
    version: env.version,
    importedAt,
    run: async (texts) => (await extract(texts, { pooling: 'mean', normalize: true })).data,
    tokenCounts: (texts) => texts.map((text) => extract.tokenizer.encode(text).length),
  }
})
