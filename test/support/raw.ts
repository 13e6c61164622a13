/** The addon without the package, for tests that start from token ids. */
import type { RawAdapter, RawAdapterSource, RawModel, RawPlanOptions } from '../../src/core/binding.js'
import type { AttentionMode, Dtype } from '../../src/core/names.js'
import { native } from '../../src/core/native.js'

export type Attention = 'causal' | 'bidirectional' | { prefix: number }

/**
 * On the first CUDA device where the environment names a CUDA backend (vitest.cuda.config.ts), else on the CPU.
 * `reference`: on the CPU, by plain loops that round where the dtype rounds and sum in float64.
 */
export function loadDirectory(
  directory: string,
  threads = 1,
  dtype: Dtype = 'float32',
  backend: 'tested' | 'reference' = 'tested',
  adapter: RawAdapterSource | null = null,
): Promise<RawModel> {
  const library = backend === 'reference' ? '' : (process.env.EMBEDCORE_CUDA_LIBRARY ?? '')
  return new Promise((resolve, reject) => {
    native().load(
      {
        kind: 'transformer',
        directory,
        modules: [],
        layerWeights: null,
        ...(adapter === null ? {} : { adapter }),
        dtype,
        device: library === '' ? 'cpu' : 'cuda:0',
        ...(backend === 'reference' ? { isa: 'reference' } : {}),
        library,
        threads,
        maxBatchTokens: 4096,
        maxQueueTokens: 1 << 20,
      },
      (error, model) => {
        if (error) reject(error)
        else resolve(model!)
      },
    )
  })
}

/**
 * [tokens of all texts, states * hidden size]: the chosen hidden states of each token side by side, or their mean. A
 * list of attentions has one per layer.
 */
export function hiddenStates(
  model: RawModel,
  texts: readonly (readonly number[])[],
  states: readonly number[],
  attention: 'default' | Attention | AttentionMode[] = 'default',
  fusion: 'concat' | 'mean' = 'concat',
): Promise<Float32Array> {
  const modes = Array.isArray(attention)
    ? attention
    : attention === 'default'
      ? []
      : [typeof attention === 'string' ? attention : ('prefix' as const)]
  const plan = model.plan({
    pooling: [],
    layers: [...states],
    fusion,
    attention: modes,
    output: 'token',
    normalize: false,
    dimensions: 0,
  })
  const offsets = new Int32Array(texts.length + 1)
  for (const [i, ids] of texts.entries()) offsets[i + 1] = offsets[i]! + ids.length
  const prefix =
    typeof attention === 'object' && !Array.isArray(attention)
      ? new Int32Array(texts.length).fill(attention.prefix)
      : null
  const out = new Float32Array(offsets.at(-1)! * plan.dimension)
  return new Promise((resolve, reject) => {
    model.call(plan, out).submit({ ids: Int32Array.from(texts.flat()), offsets, skip: null, prefix }, 0, (error) => {
      if (error) reject(error)
      else resolve(out)
    })
  })
}

/** The rows of one plan for texts given as token ids. A prefix mask sees half of each text in both directions. */
export function encodeIds(
  model: RawModel,
  options: RawPlanOptions,
  texts: readonly Int32Array[],
  adapter: RawAdapter | null = null,
): Promise<Float32Array> {
  const plan = model.plan(options)
  const offsets = new Int32Array(texts.length + 1)
  for (const [i, ids] of texts.entries()) offsets[i + 1] = offsets[i]! + ids.length
  const ids = Int32Array.from(texts.flatMap((text) => [...text]))
  const prefix = Int32Array.from(texts, (text) => text.length >> 1)
  const out = new Float32Array((options.output === 'token' ? ids.length : texts.length) * plan.dimension)
  return new Promise((resolve, reject) => {
    model
      .call(plan, out, adapter)
      .submit({ ids, offsets, skip: null, prefix }, 0, (error) => (error ? reject(error) : resolve(out)))
  })
}
