/**
 * From the options of load and encode, and what the model says itself, to the settings of the tokenizer and the native
 * plan.
 */
import type { RawPlanOptions } from '../binding.js'
import { EmbedCoreError } from '../errors.js'
import {
  abortSignal,
  callback,
  checkOptions,
  either,
  filledText,
  flag,
  integer,
  invalidOption,
  listOf,
  oneOf,
  oneOrMore,
  quantizationRanges,
  type Rule,
  text,
} from '../options.js'
import { show } from '../show.js'
import type {
  AttentionMode,
  DownloadProgress,
  Dtype,
  EncodeOptions,
  EncodeProgress,
  LayerSelection,
  LoadOptions,
  PoolingMode,
  Precision,
} from '../types.js'
import type { ModelDescription } from './directory.js'
import { parseLayers } from './layers.js'
import { resolvePrompt } from './prompts.js'
import type { TokenizeRequest } from './tokenizer.js'

const POOLING = [
  'cls',
  'mean',
  'max',
  'mean_sqrt_len',
  'weightedmean',
  'lasttoken',
] as const satisfies readonly PoolingMode[]
const ATTENTION = ['causal', 'bidirectional', 'prefix'] as const satisfies readonly AttentionMode[]
const PRECISION = ['float32', 'int8', 'uint8', 'binary', 'ubinary'] as const satisfies readonly Precision[]

export const DTYPES = ['float32', 'bfloat16', 'int8'] as const satisfies readonly Dtype[]

/** Its grammar is checked by `parseLayers`, which knows how many layers there are. */
const layerSelection: Rule<LayerSelection> = either(
  either(integer(-(2 ** 31), 2 ** 31 - 1), text),
  listOf(integer(-(2 ** 31), 2 ** 31 - 1)),
)

export const ENCODE_RULES = {
  pooling: oneOrMore(oneOf(...POOLING)),
  layers: layerSelection,
  layerFusion: oneOf('mean', 'concat'),
  attention: oneOrMore(oneOf(...ATTENTION)),
  prefixTokens: either(integer(0), listOf(integer(0))),
  output: oneOf('sentence', 'token'),
  normalize: flag,
  dimensions: integer(1),
  precision: oneOf(...PRECISION),
  ranges: quantizationRanges,
  prompt: text,
  promptName: text,
  maxTokens: integer(1),
  truncate: oneOf('right', 'left', true, false),
  signal: abortSignal,
  onProgress: callback<(progress: EncodeProgress) => void>(),
}

export const LOAD_RULES = {
  device: oneOf('auto', 'cpu'),
  dtype: oneOf('auto', ...DTYPES),
  threads: integer(1, 1024),
  maxBatchTokens: integer(1),
  maxQueueTokens: integer(1),
  maxTokens: integer(1),
  revision: filledText,
  cacheDir: filledText,
  token: filledText,
  offline: flag,
  onProgress: callback<(progress: DownloadProgress) => void>(),
  signal: abortSignal,
}

/**
 * Options of load; null = the caller named none and the default depends on the machine, the environment or the model.
 */
export interface ResolvedLoad {
  device: 'cpu'
  dtype: Dtype | 'auto'
  threads: number | null
  maxBatchTokens: number
  maxQueueTokens: number
  maxTokens: number | null
  revision: string
  cacheDir: string | null
  token: string | null
  offline: boolean | null
  onProgress: ((progress: DownloadProgress) => void) | null
  signal: AbortSignal | null
}

export function resolveLoadOptions(options?: LoadOptions): ResolvedLoad {
  const given = checkOptions(options, LOAD_RULES)
  return {
    device: 'cpu',
    dtype: given.dtype ?? 'float32',
    threads: given.threads ?? null,
    maxBatchTokens: given.maxBatchTokens ?? 4096,
    maxQueueTokens: given.maxQueueTokens ?? 16 * 1024 * 1024,
    maxTokens: given.maxTokens ?? null,
    revision: given.revision ?? 'main',
    cacheDir: given.cacheDir ?? null,
    token: given.token ?? null,
    offline: given.offline ?? null,
    onProgress: given.onProgress ?? null,
    signal: given.signal ?? null,
  }
}

/** What is known of the model when a call comes in, beside its description. */
export interface CallLimits {
  /** Longest sequence the model computes; null = any. */
  tokenLimit?: number | null
  /** Texts in the call, to check lists that have one entry a text. */
  texts?: number
}

export interface ResolvedEncode {
  plan: RawPlanOptions
  tokenize: TokenizeRequest
  output: 'sentence' | 'token'
  precision: Precision
  ranges: Float32Array | null
  /** Whether the prompt's tokens are left out of pooling, as the model says. */
  skipPrompt: boolean
  /** null = the prompt's tokens. */
  prefixTokens: number | number[] | null
  signal: AbortSignal | null
  onProgress: ((progress: EncodeProgress) => void) | null
}

export function resolveEncodeOptions(
  options: EncodeOptions | undefined,
  description: ModelDescription,
  layerCount: number,
  limits: CallLimits = {},
): ResolvedEncode {
  const given = checkOptions(options, ENCODE_RULES)
  const output = given.output ?? 'sentence'
  const precision = given.precision ?? 'float32'
  if (description.kind === 'static') refuseForStatic(given)
  if (output === 'token') refuseForTokens(given)
  if (given.ranges !== undefined && precision !== 'int8' && precision !== 'uint8') {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected precision 'int8' or 'uint8' beside ranges but received ${show(precision)}`,
    )
  }
  const attention = given.attention ?? []
  if (attention.length > 1 && attention.length !== layerCount)
    throw invalidOption('attention', `one mode or a list of ${layerCount}, one a layer,`, given.attention)
  const limit = limits.tokenLimit ?? null
  if (given.maxTokens !== undefined && limit !== null && given.maxTokens > limit)
    throw invalidOption('maxTokens', `an integer from 1 to ${limit} (the longest this model takes)`, given.maxTokens)
  return {
    plan: {
      pooling: given.pooling ?? description.pooling?.modes ?? ['mean'],
      layers: given.layers === undefined ? [] : parseLayers(given.layers, layerCount),
      fusion: given.layerFusion ?? 'mean',
      attention,
      output,
      normalize: given.normalize ?? null,
      dimensions: given.dimensions ?? (output === 'sentence' ? (description.dimensions ?? 0) : 0),
    },
    tokenize: {
      maxTokens: given.maxTokens,
      // true = at the end the tokenizer's files name.
      truncate: given.truncate === true ? undefined : given.truncate,
      prompt: resolvePrompt(description, given),
      wantOffsets: output === 'token',
      signal: given.signal,
    },
    output,
    precision,
    ranges: given.ranges ?? null,
    skipPrompt: description.pooling?.includePrompt === false,
    prefixTokens: prefixTokens(given.prefixTokens, attention, limits.texts),
    signal: given.signal ?? null,
    onProgress: given.onProgress ?? null,
  }
}

function prefixTokens(
  given: number | number[] | undefined,
  attention: readonly AttentionMode[],
  texts: number | undefined,
): number | number[] | null {
  if (given === undefined) return null
  if (!attention.includes('prefix'))
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected attention 'prefix' beside prefixTokens but received ${show(given)} without it`,
    )
  if (Array.isArray(given) && texts !== undefined && given.length !== texts)
    throw invalidOption('prefixTokens', `one number or a list of ${texts}, one a text,`, given)
  return given
}

type Given = ReturnType<typeof checkOptions<typeof ENCODE_RULES>>

/** A static model is one table: it has no layers, no attention, and always takes the mean. */
function refuseForStatic(given: Given): void {
  for (const name of ['layers', 'layerFusion', 'attention', 'prefixTokens'] as const) {
    if (given[name] !== undefined) throw invalidOption(name, 'nothing (a static model has no layers)', given[name])
  }
  if (given.pooling !== undefined && (given.pooling.length !== 1 || given.pooling[0] !== 'mean'))
    throw invalidOption(
      'pooling',
      "'mean' (a static model has no other)",
      given.pooling.length === 1 ? given.pooling[0] : given.pooling,
    )
}

/** Token vectors come before pooling and are not quantised. */
function refuseForTokens(given: Given): void {
  if (given.pooling !== undefined) throw invalidOption('pooling', "nothing beside output 'token'", given.pooling)
  if (given.precision !== undefined && given.precision !== 'float32')
    throw invalidOption('precision', "'float32' beside output 'token'", given.precision)
}
