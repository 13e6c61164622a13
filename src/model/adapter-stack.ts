/**
 * An adapter may stand in a sentence-transformers directory, with the pooling and the modules that it was trained with.
 * Beside a loaded model it changes the transformer alone, so it must have been trained with what that model has.
 */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { RawModule } from '../core/binding.js'
import { EmbedCoreError } from '../core/errors.js'
import { type ModelDescription, readModelDirectory } from './directory.js'
import { readModuleList } from './modules.js'

/** @throws ERR_EMBEDCORE_INVALID_CONFIG naming what differs; what reading the modules throws */
export async function refuseOtherStack(directory: string, model: ModelDescription): Promise<void> {
  if ((await readModuleList(directory)) === null) return
  const adapter = await readModelDirectory(directory)
  const differs = (what: string, here: string, there: string): EmbedCoreError =>
    new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_CONFIG',
      `Expected an adapter with the ${what} of the model (${there}) in ${directory} but found ${here}: the ` +
        'directory is a model of its own, for load and as the model of train',
    )
  const poolings = [adapter, model].map(({ pooling }) => `${pooling?.modes.join(', ')}`)
  if (poolings[0] !== poolings[1]) throw differs('pooling', poolings[0]!, poolings[1]!)
  const modules = [adapter, model].map((one) => one.modules.map(({ type }) => type).join(', ') || 'none')
  if (modules[0] !== modules[1]) throw differs('modules', modules[0]!, modules[1]!)
  for (const [i, module] of adapter.modules.entries())
    if (!(await isSame(module, model.modules[i]!)))
      throw differs('modules', `other weights of module ${i} (${module.type})`, modules[1]!)
}

async function isSame(a: RawModule, b: RawModule): Promise<boolean> {
  if (a.type === 'normalize' || b.type === 'normalize') return a.type === b.type
  const [own, other] = [a, b].map((module) => JSON.stringify({ ...module, directory: null }))
  if (own !== other) return false
  const [ownFile, otherFile] = await Promise.all(
    [a, b].map(({ directory }) => readFile(path.join(directory, 'model.safetensors'))),
  )
  return ownFile!.equals(otherFile!)
}
