/** The memory of a run, estimated from shapes. */
import type { RawParameter } from '../core/training-binding.js'
import { layerOf } from '../model/layer-matrices.js'
import { elements, layerCount, type TrainedParts } from './method.js'
import type { ResolvedTrain } from './options.js'
import { type Stack, stackParameters } from './stack.js'
import type { MemoryEstimate } from './types.js'

const FLOAT = 4
/** Texts whose activations are kept at a time with gradient caching. */
const CACHED_TOKENS = 512

interface Known {
  parameters: readonly RawParameter[]
  parts: TrainedParts
  stack: Stack
  options: ResolvedTrain
  /** Of a batch. */
  texts: number
  meanTokens: number | null
}

/**
 * Weights: a trained number has its value, gradient and two moments (and an average), and matrices are packed once
 * more; a frozen matrix is packed only. Activations: of every matrix of a layer its input and its output, for each
 * token, and of each text its vectors and their gradients.
 */
export function memoryEstimate({ parameters, parts, stack, options, texts, meanTokens }: Known): MemoryEstimate {
  const packed = options.dtype === 'bfloat16' ? 2 : FLOAT
  const ofStack = stackParameters(stack)
  const trained = parts.trained + ofStack.trained
  const matrices = parameters.reduce(
    (sum, { name, shape }) => sum + (shape.length === 2 && layerOf(name) !== null ? elements(shape) : 0),
    0,
  )
  const rest = parts.parameters + ofStack.parameters - matrices
  const weights =
    trained * FLOAT * (options.averageDecay > 0 ? 5 : 4) +
    matrices * 2 * packed + // For the forward and the backward products.
    Math.max(0, rest - trained) * FLOAT
  if (meanTokens === null) return { weights, activations: null }
  const layers = layerCount(parameters)
  const hidden = parameters[0]!.shape.at(-1)!
  const widths = parameters.reduce(
    (sum, { name, shape }) => sum + (shape.length === 2 && layerOf(name) !== null ? shape[0]! + shape[1]! : 0),
    0,
  )
  const tokens = texts * meanTokens
  const kept = options.gradientCache ? Math.min(tokens, CACHED_TOKENS) : tokens
  // With recomputation a layer keeps its input, and one layer at a time has the rest. A static model keeps its rows.
  const perToken = layers === 0 ? hidden : options.recompute ? layers * hidden + widths / Math.max(1, layers) : widths
  return {
    weights,
    activations: Math.round(FLOAT * (kept * perToken + texts * 4 * (stack.pooledWidth + stack.dimension))),
  }
}
