/** embedcore, called as by a user: from strings to vectors, with the built package. */
import { importPackage } from '../lib/package.mjs'
import { serve } from './protocol.mjs'

serve(async ({ model, threads, dtype }) => {
  const embedCore = await importPackage()
  const importedAt = performance.now()
  const handle = await embedCore.load(model.directory, { threads, dtype })
  return {
    version: model.packageVersion,
    importedAt,
    run: async (texts) => (await handle.encode(texts, {})).data,
    tokenCounts: async (texts) => Array.from((await handle.encode(texts, {})).tokenCounts),
  }
})
