/** Options of train: the rules that check them before any work, and their defaults. */
import { ATTENTIONS, POOLINGS, type PoolingMode, SIDES, type Side } from '../core/names.js'
import {
  abortSignal,
  callback,
  checkOptions,
  deviceName,
  either,
  filledText,
  finiteNumber,
  flag,
  integer,
  invalidOption,
  listOf,
  oneOf,
  oneOrMore,
  only,
  positiveNumber,
  type Rule,
} from '../core/options.js'
import { EmbedCoreError } from '../core/errors.js'
import { reason } from '../core/show.js'
import type { ModelAttention } from '../model/own-layout.js'
import { type CheckedEvaluator, checkEvaluators } from '../evaluate/options.js'
import { type Layout, LAYOUTS } from './attention.js'
import { Model } from '../model/model.js'
import { BAD_ROW_POLICIES } from './data/bad-rows.js'
import { checkPrompts, checkSources, type Prompts, type TrainingSources } from './data/sources.js'
import { bytesOf } from './memory.js'
import { type CheckedLoss, checkLosses, lossRule } from './losses.js'
import { type CheckedMethod, checkFreeze, checkMethod, type FreezeOptions, methodRule } from './method-options.js'
import { resolveSampler, SAMPLER_RULES, type SamplerOptions } from './samplers/options.js'
import { type Schedule, SCHEDULES } from './schedule.js'
import { type CheckedProjection, checkProjection } from './stack.js'
import type { TrainOptions, TrainProgress } from './types.js'

const any: Rule<unknown> = { expected: 'a value', read: (value) => value }
const notNegative = only<number>('a number from 0', (value) => Number.isFinite(value) && (value as number) >= 0)
const belowOne = only<number>(
  'a number from 0 to below 1',
  (value) => typeof value === 'number' && value >= 0 && value < 1,
)
const warmup = only<number>(
  'a share from 0 to below 1, or a number of updates',
  (value) => typeof value === 'number' && value >= 0 && (value < 1 || Number.isInteger(value)),
)

const loadedModel = only<Model>('a model of load', (value) => value instanceof Model)

export const TRAIN_RULES = {
  model: either(filledText, loadedModel),
  data: any,
  output: filledText,
  overwrite: flag,
  loss: lossRule,
  matryoshka: any,
  method: methodRule,
  freeze: any,
  projection: any,
  normalize: flag,
  pooling: oneOrMore(oneOf(...POOLINGS)),
  attention: oneOrMore(oneOf(...ATTENTIONS)),
  layout: oneOf(...LAYOUTS),
  clsToken: either(flag, filledText),
  merge: flag,
  epochs: integer(1, 1 << 20),
  maxSteps: integer(1),
  gradientAccumulation: integer(1, 1 << 16),
  gradientCache: flag,
  gradientSlots: integer(1, 64),
  recompute: flag,
  memoryLimit: only<number | string>(
    "a size such as '4GB' or '512MiB', or a number of bytes",
    (value) => bytesOf(value) !== null,
  ),
  learningRate: positiveNumber,
  schedule: oneOf(...SCHEDULES),
  warmup,
  weightDecay: notNegative,
  betas: listOf(belowOne),
  epsilon: positiveNumber,
  maxGradNorm: notNegative,
  averageDecay: only<number>('a number above 0 and below 1', (value) => Number(value) > 0 && Number(value) < 1),
  dtype: oneOf('float32', 'bfloat16'),
  dropout: flag,
  ...SAMPLER_RULES,
  onBadRow: oneOf(...BAD_ROW_POLICIES),
  prompts: any,
  maxTokens: integer(1),
  truncate: oneOf(...SIDES, true, false),
  negatives: integer(0, 1024),
  tmpDir: filledText,
  evaluator: any,
  evalSteps: integer(1),
  earlyStopping: any,
  keepBest: either(flag, filledText),
  saveSteps: integer(0),
  keep: integer(1, 1 << 20),
  resume: either(flag, filledText),
  logs: flag,
  device: deviceName,
  threads: integer(1, 1024),
  revision: filledText,
  cacheDir: filledText,
  token: filledText,
  offline: flag,
  signal: abortSignal,
  onProgress: callback<(progress: TrainProgress) => void>(),
}

export const defaultRate = ({ type }: CheckedMethod): number => (type === 'lora' ? 2e-4 : 5e-5)

/** As in BERT. */
const CLS_TEXT = '[CLS]'

const EARLY_RULES = { patience: integer(1), metric: filledText, threshold: finiteNumber }

export interface ResolvedTrain {
  model: string
  hub: { revision: string; cacheDir?: string; token?: string; offline?: boolean }
  data: TrainingSources
  output: string
  overwrite: boolean
  losses: CheckedLoss[] | null
  matryoshka: unknown
  method: CheckedMethod
  /** Whether the caller gave a method, a learning rate, and dropout. */
  own: { method: boolean; learningRate: boolean; dropout: boolean }
  freeze: Required<FreezeOptions>
  projection: CheckedProjection | null
  normalize: boolean | null
  pooling: PoolingMode[] | null
  /** One for all layers, or one for each; null = the model's own. */
  attention: ModelAttention[] | null
  layout: Layout | null
  /** The text of the token; null = none. */
  clsToken: string | null
  merge: boolean
  epochs: number
  maxSteps: number | null
  gradientAccumulation: number
  gradientCache: boolean
  gradientSlots: number
  /** null = as memoryLimit needs. */
  recompute: boolean | null
  memoryLimit: { given: number | string; bytes: number } | null
  learningRate: number
  schedule: Schedule
  warmup: number
  weightDecay: number
  betas: [number, number]
  epsilon: number
  maxGradNorm: number
  averageDecay: number
  dtype: 'float32' | 'bfloat16'
  dropout: boolean
  seed: number
  batchSize: number
  sampler: SamplerOptions
  onBadRow: (typeof BAD_ROW_POLICIES)[number]
  prompts: Prompts | null
  maxTokens: number | null
  truncate: Side | false | null
  negatives: number | null
  tmpDir: string | null
  evaluators: CheckedEvaluator[]
  evalSteps: number | null
  earlyStopping: { patience: number; metric: string | null; threshold: number } | null
  keepBest: { metric: string | null } | null
  saveSteps: number
  keep: number
  resume: boolean | string
  logs: boolean
  device: (typeof TRAIN_RULES.device extends Rule<infer T> ? T : never) | 'cpu'
  threads: number | null
  signal: AbortSignal | null
  onProgress: ((progress: TrainProgress) => void) | null
}

/** Of a loaded model; a run reads its weights from there again. */
function directoryOf({ info }: Model): string {
  if (info.adapter !== null)
    throw invalidOption('model', 'a model without an adapter, or the path of one,', info.adapter)
  return info.path
}

/** @throws ERR_EMBEDCORE_INVALID_OPTION, _UNKNOWN_OPTION */
export function resolveTrainOptions(options: TrainOptions): ResolvedTrain {
  try {
    return resolve(options)
  } catch (error) {
    if (error instanceof EmbedCoreError) throw error
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `Reading the options failed: ${reason(error)}`, {
      cause: error,
    })
  }
}

function resolve(options: TrainOptions): ResolvedTrain {
  const given = checkOptions(options, TRAIN_RULES)
  for (const [name, what] of [
    ['model', 'the directory or hub id of a model, or a loaded one'],
    ['data', 'rows or files'],
    ['output', 'the path of a directory'],
  ] as const)
    if (given[name] === undefined) throw invalidOption(name, what, undefined)
  checkSources(given.data)
  const method = checkMethod(given.method)
  if (given.merge === true && given.method !== undefined && method.type !== 'lora')
    throw invalidOption('merge', "nothing beside a method other than 'lora'", true)
  if (given.attention?.includes('prefix') === true)
    throw invalidOption('attention', "'causal' or 'bidirectional' (a saved model cannot say 'prefix')", 'prefix')
  if (given.epochs !== undefined && given.maxSteps !== undefined)
    throw invalidOption('maxSteps', 'either epochs or maxSteps', given.maxSteps)
  const { betas = [0.9, 0.999] } = given
  if (betas.length !== 2) throw invalidOption('betas', 'a list of two numbers', betas)
  const evaluators = given.evaluator === undefined ? [] : checkEvaluators(given.evaluator).evaluators
  const keepBest = given.keepBest === undefined || given.keepBest === false ? null : given.keepBest
  for (const [name, value] of [
    ['evalSteps', given.evalSteps],
    ['earlyStopping', given.earlyStopping],
    ['keepBest', keepBest ?? undefined],
  ] as const)
    if (value !== undefined && evaluators.length === 0) throw invalidOption(name, 'nothing without evaluator', value)
  const early = given.earlyStopping === undefined ? null : checkOptions(given.earlyStopping, EARLY_RULES)
  if (early !== null && early.patience === undefined)
    throw invalidOption('patience', 'an integer from 1 of earlyStopping', undefined)
  const { cacheDir, token, offline } = given
  const samplerNames = Object.keys(SAMPLER_RULES) as (keyof typeof SAMPLER_RULES)[]
  const sampler: SamplerOptions = Object.fromEntries(
    samplerNames.filter((name) => given[name] !== undefined).map((name) => [name, given[name]]),
  )
  sampler.seed ??= 42
  resolveSampler({ ...sampler }) // Refuses what does not fit together.
  return {
    model: typeof given.model === 'string' ? given.model : directoryOf(given.model!),
    hub: {
      revision: given.revision ?? 'main',
      ...(cacheDir === undefined ? {} : { cacheDir }),
      ...(token === undefined ? {} : { token }),
      ...(offline === undefined ? {} : { offline }),
    },
    data: given.data as TrainingSources,
    output: given.output!,
    overwrite: given.overwrite ?? false,
    losses: given.loss === undefined ? null : checkLosses(given.loss, given.matryoshka),
    matryoshka: given.matryoshka,
    method,
    own: {
      method: given.method !== undefined,
      learningRate: given.learningRate !== undefined,
      dropout: given.dropout !== undefined,
    },
    freeze: checkFreeze(given.freeze, method),
    projection: checkProjection(given.projection),
    normalize: given.normalize ?? null,
    pooling: given.pooling ?? null,
    attention: (given.attention as ModelAttention[] | undefined) ?? null,
    layout: given.layout ?? null,
    clsToken: given.clsToken === true ? CLS_TEXT : given.clsToken === false ? null : (given.clsToken ?? null),
    merge: given.merge ?? false,
    epochs: given.epochs ?? 1,
    maxSteps: given.maxSteps ?? null,
    gradientAccumulation: given.gradientAccumulation ?? 1,
    gradientCache: given.gradientCache ?? false,
    gradientSlots: given.gradientSlots ?? 1,
    recompute: given.recompute ?? null,
    memoryLimit:
      given.memoryLimit === undefined ? null : { given: given.memoryLimit, bytes: bytesOf(given.memoryLimit)! },
    learningRate: given.learningRate ?? defaultRate(method),
    schedule: given.schedule ?? 'linear',
    warmup: given.warmup ?? 0.1,
    weightDecay: given.weightDecay ?? 0,
    betas: [betas[0]!, betas[1]!],
    epsilon: given.epsilon ?? 1e-8,
    maxGradNorm: given.maxGradNorm ?? 1,
    averageDecay: given.averageDecay ?? 0,
    dtype: given.dtype ?? 'float32',
    dropout: given.dropout ?? true,
    seed: sampler.seed,
    batchSize: given.batchSize ?? 32,
    sampler,
    onBadRow: given.onBadRow ?? 'error',
    prompts: checkPrompts(given.prompts),
    maxTokens: given.maxTokens ?? null,
    truncate: given.truncate === true || given.truncate === undefined ? null : given.truncate,
    negatives: given.negatives ?? null,
    tmpDir: given.tmpDir ?? null,
    evaluators,
    evalSteps: given.evalSteps ?? null,
    earlyStopping:
      early === null
        ? null
        : { patience: early.patience!, metric: early.metric ?? null, threshold: early.threshold ?? 0 },
    keepBest: keepBest === null ? null : { metric: keepBest === true ? null : (keepBest as string) },
    saveSteps: given.saveSteps ?? 500,
    keep: given.keep ?? 2,
    resume: given.resume ?? false,
    logs: given.logs ?? true,
    device: given.device ?? 'cpu',
    threads: given.threads ?? null,
    signal: given.signal ?? null,
    onProgress: given.onProgress === undefined ? null : guarded(given.onProgress),
  }
}

/** An exception in a caller's callback ends the run with a coded error. */
function guarded(onProgress: (progress: TrainProgress) => void): (progress: TrainProgress) => void {
  return (progress) => {
    try {
      onProgress(progress)
    } catch (error) {
      throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `The call's onProgress threw: ${reason(error)}`, {
        cause: error,
      })
    }
  }
}
