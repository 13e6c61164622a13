/** Training a saved adapter further: which one, and the settings that it brings. */
import { invalidOption } from '../core/options.js'
import type { RawParameter } from '../core/training-binding.js'
import { refuseOtherStack } from '../model/adapter-stack.js'
import type { ModelDescription } from '../model/directory.js'
import { layerMatrices } from '../model/layer-matrices.js'
import { type PeftAdapter, readPeftAdapter } from '../model/peft.js'
import type { CheckedLora } from './method-options.js'
import { defaultRate, type ResolvedTrain } from './options.js'

/**
 * The adapter that a run begins with: that of the model's own directory, or the one that the method names. null = none.
 * @throws ERR_EMBEDCORE_INVALID_OPTION for a method that does not go with it; what reading the adapter throws
 */
export async function adapterOf(
  options: ResolvedTrain,
  description: ModelDescription,
  parameters: readonly RawParameter[],
): Promise<PeftAdapter | null> {
  const { method } = options
  const named = method.type === 'lora' ? method.from : null
  const own = description.adapter?.directory ?? null
  if (own !== null && options.own.method) refuseOther(method.type, named, own)
  if (named !== null) await refuseOtherStack(named, description)
  const directory = own ?? named
  return directory === null ? null : readPeftAdapter(directory, [...layerMatrices(parameters).keys()])
}

function refuseOther(type: string, named: string | null, own: string): void {
  if (type !== 'lora')
    throw invalidOption('method', `'lora' for a model with an adapter, which is trained further (${own}),`, type)
  if (named !== null)
    throw invalidOption('from', `nothing beside a model with an adapter, which is trained further (${own}),`, named)
}

/** The options of a run that trains this adapter further; without one as they are. */
export function withAdapter(options: ResolvedTrain, adapter: PeftAdapter | null): ResolvedTrain {
  if (adapter === null) {
    if (options.merge && options.method.type !== 'lora')
      throw invalidOption('merge', "nothing beside a method other than 'lora'", true)
    return options
  }
  const { config, directory } = adapter
  const given = options.method.type === 'lora' ? options.method : null
  const method: { type: 'lora' } & CheckedLora = {
    type: 'lora',
    rank: config.rank,
    alpha: config.alpha,
    dropout: given?.ownDropout === true ? given.dropout : config.dropout,
    // PEFT opens what is saved by the names of all matrices: one whose update has no place here must not come back.
    targets: adapter.updates.map(({ module }) => module),
    rslora: config.rslora,
    rankPattern: config.rankPattern,
    alphaPattern: config.alphaPattern,
    layersToTransform: null,
    from: directory,
    ownDropout: given?.ownDropout ?? false,
  }
  const learningRate = options.own.learningRate ? options.learningRate : defaultRate(method)
  return { ...options, method, learningRate }
}
