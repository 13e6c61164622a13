/** Which tokens a token sees: what the model's files say, what the run changes, and what can be saved of it. */
import path from 'node:path'
import { readFields } from '../core/json-file.js'
import { invalidOption } from '../core/options.js'
import type { ModelDescription } from '../model/directory.js'
import type { ResolvedTrain } from './options.js'

const DECODERS: readonly unknown[] = ['llama', 'mistral', 'qwen2', 'qwen3']

export const isDecoder = (modelType: unknown): boolean => DECODERS.includes(modelType)

export interface PlannedAttention {
  decoder: boolean
  /** Whether every token sees all others, in all layers. */
  bidirectional: boolean
}

/** @throws ERR_EMBEDCORE_INVALID_OPTION for a mask that cannot be saved */
export async function planAttention(options: ResolvedTrain, { weights }: ModelDescription): Promise<PlannedAttention> {
  const { attention, method, merge } = options
  const config = await readFields(path.join(weights, 'config.json'))
  const decoder = isDecoder(config?.raw('model_type'))
  // Only decoders have a mask that a saved model can name.
  if (attention === 'causal' && !decoder)
    throw invalidOption('attention', "'bidirectional' for an encoder (a saved one cannot say otherwise)", attention)
  const given = config?.raw('is_causal')
  // As Python takes it: null and 0 are false.
  const own = decoder && (given === undefined || Boolean(given)) ? 'causal' : 'bidirectional'
  if (attention !== null && attention !== own && method.type === 'lora' && !merge)
    throw invalidOption(
      'attention',
      `'${own}', the base model's own, for an adapter of PEFT, which cannot say otherwise (merge: true saves a model),`,
      attention,
    )
  return { decoder, bidirectional: (attention ?? own) === 'bidirectional' }
}
