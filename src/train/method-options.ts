/** What is trained: the options, checked without knowing the model. */
import { EmbedCoreError } from '../core/errors.js'
import {
  checkOptions,
  either,
  filledText,
  flag,
  integer,
  invalidOption,
  listOf,
  only,
  positiveNumber,
  type Rule,
} from '../core/options.js'
import { nearest, show } from '../core/show.js'

/** Low-rank adaptation (Hu et al. 2021), with the names of PEFT's LoraConfig. */
export interface LoraOptions {
  type: 'lora'
  /** Default 8. */
  rank?: number
  /** The update is multiplied with alpha / rank. Default 8. */
  alpha?: number
  /** Of the input of the update. Default 0. */
  dropout?: number
  /**
   * The matrices: the ends of their names (`'query'`, `'attention.output.dense'`), a regular expression for the whole
   * name, or `'all-linear'`. Default: the queries and values of attention.
   */
  targets?: string | readonly string[]
  /** alpha / sqrt(rank) in place of alpha / rank. Default false. */
  rslora?: boolean
  /** Ranks by the end of a name, as a regular expression. */
  rankPattern?: Readonly<Record<string, number>>
  /** Alphas by the end of a name, as a regular expression. */
  alphaPattern?: Readonly<Record<string, number>>
  /** Layers, from 0. Default: all. */
  layersToTransform?: number | readonly number[]
  /**
   * The directory of an adapter of this model, which PEFT or `train` saved: it is trained further. Its configuration
   * gives all other settings; only `dropout` may be another.
   */
  from?: string
}

/**
 * - `'full'`: all weights that are not frozen.
 * - `{ type: 'lora' }` or `'lora'`: low-rank updates of matrices.
 * - `'bitfit'`: biases (Ben Zaken et al. 2021).
 */
export type TrainingMethod = 'full' | 'bitfit' | 'lora' | LoraOptions

/** Weights that stay as they are, beside `method: 'full'`. */
export interface FreezeOptions {
  /** Tables of tokens, positions and types, and their norm. Default false. */
  embeddings?: boolean
  /** The first layers. Default 0. */
  layers?: number
  /** The modules after the pooling that the model has. Default false. */
  head?: boolean
}

export interface CheckedLora {
  rank: number
  alpha: number
  dropout: number
  targets: string | string[] | null
  rslora: boolean
  rankPattern: Record<string, number>
  alphaPattern: Record<string, number>
  layersToTransform: number[] | null
  /** The directory of the adapter that is trained further; null = a new one. */
  from: string | null
  /** Whether the caller gave a dropout. */
  ownDropout: boolean
}

export type CheckedMethod = { type: 'full' } | { type: 'bitfit' } | ({ type: 'lora' } & CheckedLora)

const pattern = <T>(expected: string, accepts: (value: unknown) => boolean) =>
  only<Readonly<Record<string, T>>>(
    `${expected} for ends of names`,
    (value) =>
      typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(accepts),
  )

const LORA_RULES = {
  type: only<'lora'>("'lora'", (value) => value === 'lora'),
  rank: integer(1, 4096),
  alpha: positiveNumber,
  dropout: only<number>('a number from 0 to below 1', (value) => typeof value === 'number' && value >= 0 && value < 1),
  targets: either(filledText, listOf(filledText)),
  rslora: flag,
  rankPattern: pattern<number>('integers from 1', (value) => Number.isInteger(value) && (value as number) >= 1),
  alphaPattern: pattern<number>('numbers above 0', (value) => Number.isFinite(value) && (value as number) > 0),
  layersToTransform: either(integer(0), listOf(integer(0))),
  from: filledText,
}
/** What an adapter that is trained further has already. */
const OF_NEW_ADAPTERS = [
  'rank',
  'alpha',
  'targets',
  'rslora',
  'rankPattern',
  'alphaPattern',
  'layersToTransform',
] as const

/** Methods that are known elsewhere and not built here. */
const NOT_BUILT: Readonly<Record<string, string>> = {
  adapter: 'bottleneck adapters',
  houlsby: 'bottleneck adapters (Houlsby)',
  pfeiffer: 'bottleneck adapters (Pfeiffer)',
  dora: 'weight-decomposed low-rank adaptation (DoRA)',
  ia3: 'IA3',
  prefix: 'prefix tuning',
  prompt: 'prompt tuning',
}

/** For `checkOptions`; the rest is checked by `checkMethod`. */
export const methodRule: Rule<unknown> = either(
  filledText,
  only<object>('an object with its type', (value) => typeof value === 'object' && value !== null),
)

/** @throws ERR_EMBEDCORE_INVALID_OPTION, _UNKNOWN_OPTION */
export function checkMethod(given: unknown): CheckedMethod {
  const type: unknown = typeof given === 'object' && given !== null ? (given as { type?: unknown }).type : given
  if (type === undefined && given === undefined) return { type: 'full' }
  if (type === 'full' || type === 'bitfit') {
    if (typeof given === 'object') checkOptions(given, { type: filledText })
    return { type }
  }
  if (type !== 'lora') throw unknownMethod(type)
  const options = checkOptions(typeof given === 'object' ? given : { type }, LORA_RULES)
  for (const name of ['rankPattern', 'alphaPattern'] as const)
    for (const expression of Object.keys(options[name] ?? {})) regular(expression, name)
  if (typeof options.targets === 'string' && options.targets !== 'all-linear') regular(options.targets, 'targets')
  if (options.from !== undefined)
    for (const name of OF_NEW_ADAPTERS)
      if (options[name] !== undefined)
        throw invalidOption(name, 'nothing beside from, whose configuration has it,', options[name])
  const layers = options.layersToTransform
  return {
    type: 'lora',
    from: options.from ?? null,
    ownDropout: options.dropout !== undefined,
    rank: options.rank ?? 8,
    alpha: options.alpha ?? 8,
    dropout: options.dropout ?? 0,
    targets: options.targets ?? null,
    rslora: options.rslora ?? false,
    rankPattern: { ...options.rankPattern },
    alphaPattern: { ...options.alphaPattern },
    layersToTransform: layers === undefined ? null : typeof layers === 'number' ? [layers] : layers,
  }
}

function regular(expression: string, name: string): void {
  try {
    new RegExp(expression)
  } catch {
    throw invalidOption(name, 'a regular expression', expression)
  }
}

function unknownMethod(type: unknown): EmbedCoreError {
  const known = ['full', 'lora', 'bitfit']
  if (typeof type === 'string' && Object.hasOwn(NOT_BUILT, type.toLowerCase()))
    return new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected one of 'full', 'lora', 'bitfit' for method but received ${show(type)}: ` +
        `${NOT_BUILT[type.toLowerCase()]} cannot be trained here yet`,
    )
  const near = typeof type === 'string' ? nearest(type, known) : null
  return new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_OPTION',
    `Expected 'full', 'lora', 'bitfit' or { type: 'lora', … } for method but received ${show(type)}` +
      (near === null ? '' : `; did you mean '${near}'?`),
  )
}

const FREEZE_RULES = { embeddings: flag, layers: integer(0), head: flag }

export function checkFreeze(given: unknown, method: CheckedMethod): Required<FreezeOptions> {
  const options = checkOptions(given, FREEZE_RULES)
  const some = options.embeddings === true || (options.layers ?? 0) > 0
  if (some && method.type !== 'full')
    throw invalidOption('freeze', `nothing of the transformer beside method '${method.type}', which freezes it,`, given)
  return { embeddings: options.embeddings ?? false, layers: options.layers ?? 0, head: options.head ?? false }
}
