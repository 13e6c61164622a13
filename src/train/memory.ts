/** The memory of a run, estimated from shapes, and how many layers are recomputed so that it keeps to a limit. */
import { invalidOption } from '../core/options.js'
import type { RawParameter, RawStepBytes } from '../core/training-binding.js'
import { layerOf } from '../model/layer-matrices.js'
import { elements, type TrainedParts } from './method.js'
import type { ResolvedTrain } from './options.js'
import type { SamplerName } from './samplers/options.js'
import { type Stack, stackParameters } from './stack.js'
import type { MemoryEstimate } from './types.js'

const FLOAT = 4
/** A block of memory is taken an eighth larger than it must be, so that it need not grow with every batch. */
const SPARE = 9 / 8

/** Of the texts that were counted. */
export interface TokenCounts {
  mean: number
  /** The standard deviation. */
  deviation: number
  longest: number
}

interface Known {
  parameters: readonly RawParameter[]
  parts: TrainedParts
  stack: Stack
  options: ResolvedTrain
  bytes: RawStepBytes
  sampler: SamplerName
  /** Of a batch. */
  texts: number
  /** null = an iterable, whose texts are not known. */
  tokens: TokenCounts | null
  /** Tokens a text is cut to; null = none is. */
  maxTokens: number | null
}

/**
 * The estimate, and the number of layers, from the first on, that the trainer shall recompute: as many as were asked
 * for, or as few as `memoryLimit` allows.
 * @throws ERR_EMBEDCORE_INVALID_OPTION when the limit cannot be kept.
 */
export function planMemory(known: Known): { estimate: MemoryEstimate; recompute: number } {
  const { memoryLimit, recompute } = known.options
  const weights = weightBytes(known)
  const layers = known.bytes.rest.length
  const first = firstTrained(known)
  const tokens = stepTokens(known)
  const estimateOf = (recomputed: number): MemoryEstimate => ({
    weights,
    activations: tokens === null ? null : activationBytes(known, tokens, Math.max(first, recomputed)),
    limit: memoryLimit?.bytes ?? null,
    recomputedLayers: Math.max(0, recomputed - first),
    trainedLayers: layers - first,
  })
  const asked = recompute === true ? layers : first
  if (memoryLimit === null) return { estimate: estimateOf(asked), recompute: asked }
  const most = recompute === null ? layers : asked
  for (let recomputed = asked; recomputed <= most; recomputed++) {
    const estimate = estimateOf(recomputed)
    if (weights + estimate.activations! <= memoryLimit.bytes) return { estimate, recompute: recomputed }
  }
  throw tooSmall(known, estimateOf(most))
}

function tooSmall({ options }: Known, { weights, activations, recomputedLayers }: MemoryEstimate): Error {
  const { memoryLimit, recompute, gradientCache } = options
  const how = recomputedLayers > 0 ? ` with ${recomputedLayers} layers recomputed` : ''
  const less = [
    ...(recompute === false ? ['recomputation'] : []),
    ...(gradientCache ? [] : ['gradientCache: true']),
    'a smaller batchSize',
    'a smaller maxTokens',
  ]
  return invalidOption(
    'memoryLimit',
    `at least ${size(weights + activations!)} (about ${size(weights)} for weights and ${size(activations!)} for a ` +
      `step${how}; ${less.slice(0, -1).join(', ')} or ${less.at(-1)} needs less)`,
    memoryLimit!.given,
  )
}

/**
 * A trained number has its value, gradient and two moments (and an average), and matrices are packed for the forward
 * and the backward products; a frozen matrix is packed only.
 */
function weightBytes({ parameters, parts, stack, options }: Known): number {
  const packed = options.dtype === 'bfloat16' ? 2 : FLOAT
  const ofStack = stackParameters(stack)
  const trained = parts.trained + ofStack.trained
  const matrices = parameters.reduce(
    (sum, { name, shape }) => sum + (shape.length === 2 && layerOf(name) !== null ? elements(shape) : 0),
    0,
  )
  const rest = parts.parameters + ofStack.parameters - matrices
  return (
    trained * FLOAT * ((options.averageDecay > 0 ? 5 : 4) + (options.gradientSlots > 1 ? options.gradientSlots : 0)) +
    matrices * 2 * packed +
    Math.max(0, rest - trained) * FLOAT
  )
}

/** The lowest layer with anything to train, below which no gradient goes; 0 if something before the layers is. */
function firstTrained({ parameters, parts, bytes }: Known): number {
  if (parts.trains === null) return 0
  const before = new Set<string>()
  for (const { name } of parameters) {
    if (layerOf(name) !== null) break
    before.add(name)
  }
  const layers = bytes.rest.length
  const names = [...parts.trains, ...parts.lora.map(({ module }) => `${module}.`)]
  if (names.some((name) => before.has(name) || /relative/.test(name))) return 0
  return names.reduce((least, name) => Math.min(least, layerOf(name) ?? layers), layers)
}

/**
 * Tokens of a step, such as few steps exceed: three deviations of their sum above its mean, and where texts of one
 * length come together, all as long as the longest.
 */
function stepTokens({ tokens, texts, sampler, maxTokens, options }: Known): { all: number; longest: number } | null {
  if (tokens !== null) {
    const { mean, deviation, longest } = tokens
    const most = texts * longest
    const all = sampler === 'length-aware' ? most : texts * mean + 3 * deviation * Math.sqrt(texts)
    return { all: Math.min(most, all), longest }
  }
  if (options.memoryLimit === null) return null
  if (maxTokens === null)
    throw invalidOption('memoryLimit', 'nothing beside an iterable without maxTokens', options.memoryLimit.given)
  return { all: texts * maxTokens, longest: maxTokens }
}

/** Rows that the layers keep for each token, those of the slab under way, and vectors of the texts. */
function activationBytes(
  { stack, options, bytes, texts }: Known,
  tokens: { all: number; longest: number },
  recomputed: number,
): number {
  const sum = (list: readonly number[]): number => list.reduce((total, value) => total + value, 0)
  const slab = Math.min(tokens.all, Math.max(bytes.slabTokens, tokens.longest))
  const kept = options.gradientCache ? slab : tokens.all
  const perToken = bytes.embedded + sum(bytes.sums) + sum(bytes.rest.slice(recomputed))
  const backward = bytes.scratch + (recomputed > 0 ? bytes.shared : 0)
  const keepsNothing = options.gradientCache || options.evaluators.length > 0
  const scratch = Math.max(backward, keepsNothing ? bytes.forward : 0)
  // Of the pooling, of each module and its gradients, and of the losses.
  const vectors = FLOAT * texts * (2 * stack.pooledWidth + (4 + stack.modules.length) * stack.dimension)
  return Math.round(SPARE * (kept * perToken + slab * scratch + vectors))
}

const UNITS: Readonly<Record<string, number>> = {
  ...{ '': 1, B: 1, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 },
  ...{ KIB: 2 ** 10, MIB: 2 ** 20, GIB: 2 ** 30, TIB: 2 ** 40 },
}

/** Bytes of a number, or of a text such as '4GB'; null = neither. */
export function bytesOf(value: unknown): number | null {
  if (typeof value === 'number') return Number.isFinite(value) && value > 0 ? value : null
  const found = typeof value === 'string' ? /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(value) : null
  const unit = found === null ? undefined : UNITS[found[2]!.toUpperCase()]
  return unit === undefined || Number(found![1]) === 0 ? null : Number(found![1]) * unit
}

/** Rounded up, so that the size that a refusal names is enough. */
function size(value: number): string {
  const [scale, unit] = value >= 1e9 ? [1e9, 'GB'] : [1e6, 'MB']
  return `${(Math.ceil((value / scale) * 100) / 100).toFixed(2)} ${unit}`
}
