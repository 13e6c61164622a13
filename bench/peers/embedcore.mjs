/** embedcore itself, as a user calls it: strings in, vectors out, from the built package. */
import { existsSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { PACKAGE_ENTRY } from '../lib/paths.mjs'
import { serve } from './protocol.mjs'

serve(async ({ model, threads, dtype }) => {
  if (!existsSync(PACKAGE_ENTRY))
    throw new Error('the package is not built (dist/index.js is missing): run npm run build')
  const { embedCore } = await import(pathToFileURL(PACKAGE_ENTRY).href)
  const importedAt = performance.now()
  const handle = await embedCore.load(model.directory, { threads, dtype })
  return {
    version: model.packageVersion,
    importedAt,
    run: async (texts) => (await handle.encode(texts, {})).data,
    tokenCounts: async (texts) => Array.from((await handle.encode(texts, {})).tokenCounts),
  }
})
