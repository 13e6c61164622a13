/** Groups of parameters for AdamW: biases and norms, which are vectors, have no decay. */
import type { RawOptimizer, RawTrainedParameter } from '../core/training-binding.js'
import { elements } from './method.js'
import type { ResolvedTrain } from './options.js'
import type { Trainer } from './trainer.js'

export function optimizerOf(trainer: Trainer, options: ResolvedTrain): RawOptimizer {
  return {
    encoderGroups: groupsOf(trainer.parameters('encoder'), options.weightDecay),
    headGroups: groupsOf(trainer.parameters('head'), options.weightDecay),
    beta1: options.betas[0],
    beta2: options.betas[1],
    epsilon: options.epsilon,
    maxNorm: options.maxGradNorm,
    averageDecay: options.averageDecay,
  }
}

/** [begin, end, rate factor, decay] of each; neighbours with the same decay are one group. */
function groupsOf(parameters: readonly RawTrainedParameter[], decay: number): Float64Array {
  const groups: [begin: number, end: number, decay: number][] = []
  for (const { offset, shape } of [...parameters].sort((a, b) => a.offset - b.offset)) {
    const own = shape.length === 1 ? 0 : decay
    const last = groups.at(-1)
    if (last !== undefined && last[2] === own) last[1] = offset + elements(shape)
    else groups.push([offset, offset + elements(shape), own])
  }
  return Float64Array.from(groups.flatMap(([begin, end, own]) => [begin, end, 1, own]))
}
