/**
 * Turns the options of load and encode, and the model's own settings, into the settings of the tokenizer and the native
 * plan.
 */
import type { RawPlanOptions } from '../core/binding.js'
import { EmbedCoreError } from '../core/errors.js'
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
} from '../core/options.js'
import { show } from '../core/show.js'
import {
  type AttentionMode,
  ATTENTIONS,
  FUSIONS,
  type OutputMode,
  OUTPUTS,
  POOLINGS,
  type Precision,
  PRECISIONS,
  SIDES,
} from '../core/names.js'
import type { EncodeOptions, EncodeProgress, LayerSelection } from './types.js'
import type { ModelDescription } from './directory.js'
import { parseLayers } from './layers.js'
import { resolvePrompt } from './prompts.js'
import type { TokenizeRequest } from './tokenizer.js'

/** Its grammar is checked by `parseLayers`, which knows how many layers there are. */
const layerSelection: Rule<LayerSelection> = either(
  either(integer(-(2 ** 31), 2 ** 31 - 1), text),
  listOf(integer(-(2 ** 31), 2 ** 31 - 1)),
)

/** The options that decide how texts become tokens. */
export const TOKENIZE_RULES = {
  prompt: text,
  promptName: text,
  maxTokens: integer(1),
  truncate: oneOf(...SIDES, true, false),
  signal: abortSignal,
}

export const ENCODE_RULES = {
  pooling: oneOrMore(oneOf(...POOLINGS)),
  layers: layerSelection,
  layerFusion: oneOf(...FUSIONS),
  attention: oneOrMore(oneOf(...ATTENTIONS)),
  prefixTokens: either(integer(0), listOf(integer(0))),
  output: oneOf(...OUTPUTS),
  normalize: flag,
  dimensions: integer(1),
  precision: oneOf(...PRECISIONS),
  ranges: quantizationRanges,
  adapter: filledText,
  ...TOKENIZE_RULES,
  onProgress: callback<(progress: EncodeProgress) => void>(),
}

/** What a call needs to know of the model, in addition to its description. */
export interface CallLimits {
  /** Longest sequence the model computes; null = any. */
  tokenLimit?: number | null
  /** Texts in the call, to check lists that have one entry per text. */
  texts?: number
  /** The prompt by name when the call names none; null = the model's default prompt. */
  fallbackPrompt?: string | null
}

export interface ResolvedEncode {
  plan: RawPlanOptions
  tokenize: TokenizeRequest
  output: OutputMode
  precision: Precision
  ranges: Float32Array | null
  /** The name of an adapter; null = none. */
  adapter: string | null
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
  const attention: AttentionMode[] = given.attention ?? [...description.attention]
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
      prompt: resolvePrompt(description, withFallback(given, limits.fallbackPrompt ?? null)),
      wantOffsets: output === 'token',
      signal: given.signal,
    },
    output,
    precision,
    ranges: given.ranges ?? null,
    adapter: given.adapter ?? null,
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

function withFallback(given: CheckedOptions, promptName: string | null): Pick<CheckedOptions, 'prompt' | 'promptName'> {
  return promptName === null || given.prompt !== undefined || given.promptName !== undefined ? given : { promptName }
}

type CheckedOptions = ReturnType<typeof checkOptions<typeof ENCODE_RULES>>

/** A static model is one table: it has no layers, no attention, and always takes the mean. */
function refuseForStatic(given: CheckedOptions): void {
  if (given.adapter !== undefined)
    throw invalidOption('adapter', 'nothing (a static model has no matrices that one could change)', given.adapter)
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
function refuseForTokens(given: CheckedOptions): void {
  if (given.pooling !== undefined) throw invalidOption('pooling', "nothing beside output 'token'", given.pooling)
  if (given.precision !== undefined && given.precision !== 'float32')
    throw invalidOption('precision', "'float32' beside output 'token'", given.precision)
}
