/** Which tokens a token sees: what the model's files say, what the run changes, and the layout that can hold it. */
import path from 'node:path'
import { readFields } from '../core/json-file.js'
import { invalidOption } from '../core/options.js'
import type { ModelDescription } from '../model/directory.js'
import type { ModelAttention } from '../model/own-layout.js'
import type { ResolvedTrain } from './options.js'

export const LAYOUTS = ['sentence-transformers', 'embedcore'] as const
/**
 * A saved directory that sentence-transformers opens, or one that only this package reads (`embedcore.json` and the
 * module `embedcore.Transformer`).
 */
export type Layout = (typeof LAYOUTS)[number]

const DECODERS: readonly unknown[] = ['llama', 'mistral', 'qwen2', 'qwen3']

export interface PlannedAttention {
  decoder: boolean
  /** One for all layers, or one for each; empty = as config.json says. */
  layers: ModelAttention[]
  /** Whether layers differ. */
  mixed: boolean
  /** Whether every token sees all others, in all layers. */
  bidirectional: boolean
  layout: Layout
}

/** @throws ERR_EMBEDCORE_INVALID_OPTION for masks that cannot be saved as asked */
export async function planAttention(
  options: ResolvedTrain,
  { weights, attention: given }: ModelDescription,
  layerCount: number,
): Promise<PlannedAttention> {
  const { attention } = options
  const config = await readFields(path.join(weights, 'config.json'))
  const decoder = DECODERS.includes(config?.raw('model_type'))
  if (attention !== null && attention.length > 1 && attention.length !== layerCount)
    throw invalidOption('attention', `one mode or a list of ${layerCount}, one a layer,`, attention)
  // Only decoders have a mask that a saved model can name.
  if (attention?.includes('causal') === true && !decoder)
    throw invalidOption('attention', "'bidirectional' for an encoder (a saved one cannot say otherwise)", attention)
  const causal = config?.raw('is_causal')
  // As Python takes it: null and 0 are false.
  const own = decoder && (causal === undefined || Boolean(causal)) ? 'causal' : 'bidirectional'
  const wanted = attention ?? given
  const [first = own] = wanted
  const mixed = wanted.some((mode) => mode !== first)
  const layers = mixed ? wanted : wanted.slice(0, 1)
  refuseForAdapter(options, mixed ? wanted : [first], own)
  return {
    decoder,
    layers,
    mixed,
    bidirectional: !mixed && first === 'bidirectional',
    layout: layoutOf(options, mixed),
  }
}

/** An adapter of PEFT names a base model, and that has its own mask. */
function refuseForAdapter({ method, merge }: ResolvedTrain, layers: ModelAttention[], own: ModelAttention): void {
  if (method.type !== 'lora' || merge || (layers.length === 1 && layers[0] === own)) return
  throw invalidOption(
    'attention',
    `'${own}', the base model's own, for an adapter of PEFT, which cannot say otherwise (merge: true saves a model),`,
    layers.join(', '),
  )
}

function layoutOf({ layout, method, merge }: ResolvedTrain, mixed: boolean): Layout {
  if (layout === 'embedcore' && method.type === 'lora' && !merge)
    throw invalidOption('layout', "'sentence-transformers' for an adapter of PEFT (merge: true saves a model)", layout)
  if (mixed && layout === 'sentence-transformers')
    throw invalidOption(
      'layout',
      "'embedcore' beside attention that differs from layer to layer, which no layout of sentence-transformers names,",
      layout,
    )
  return layout ?? (mixed ? 'embedcore' : 'sentence-transformers')
}
