/** The base model of a directory that holds an adapter, and the updates that are added to a model's weights. */
import type { RawAdapterSource } from '../core/binding.js'
import { EmbedCoreError } from '../core/errors.js'
import { native } from '../core/native.js'
import { show } from '../core/show.js'
import { resolveModel } from '../hub/resolve.js'
import { type ModelDescription, readModelDirectory } from './directory.js'
import { layerMatrices } from './layer-matrices.js'
import { readPeftAdapter } from './peft.js'

/** The description with the directory of its base model, which may be downloaded; without an adapter as it is. */
export async function withBaseModel(
  description: ModelDescription,
  hub: Omit<Parameters<typeof resolveModel>[1] & object, 'revision'>,
): Promise<ModelDescription> {
  const { adapter } = description
  if (adapter === null) return description
  const directory = await resolveModel(adapter.base, { ...hub, revision: adapter.revision ?? 'main' })
  const base = await readModelDirectory(directory)
  if (base.kind === 'static' || base.adapter !== null)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
      `Expected a transformer of its own for the base model ${show(adapter.base)} of the adapter in ` +
        `${adapter.directory} but found ${base.kind === 'static' ? 'a static model' : 'another adapter'}`,
    )
  return { ...description, weights: base.weights, attention: base.attention }
}

/** Updates of the adapter in a directory, for the weights of a model. */
export async function adapterSource(directory: string, { weights }: ModelDescription): Promise<RawAdapterSource> {
  const matrices = layerMatrices(native().parameters(weights))
  const { directory: root, updates } = await readPeftAdapter(directory, [...matrices.keys()])
  return { directory: root, updates }
}
