/** Files that appear when they are whole: written beside their place, then renamed. */
import { randomUUID } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { EmbedCoreError } from '../core/errors.js'
import { reason } from '../core/show.js'

/** @throws ERR_EMBEDCORE_WRITE_FAILED; nothing is left behind then. */
export async function writeTexts(path: string, texts: AsyncIterable<string> | Iterable<string>): Promise<void> {
  const unfinished = `${path}.${randomUUID()}.tmp`
  try {
    const handle = await open(unfinished, 'wx')
    try {
      for await (const text of texts) await handle.writeFile(text)
    } finally {
      await handle.close()
    }
    await rename(unfinished, path)
  } catch (error) {
    await rm(unfinished, { force: true }).catch(() => undefined)
    if (error instanceof EmbedCoreError) throw error
    throw new EmbedCoreError('ERR_EMBEDCORE_WRITE_FAILED', `Cannot write ${path}: ${reason(error)}`, { cause: error })
  }
}
