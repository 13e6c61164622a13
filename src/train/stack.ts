/** The modules after the pooling: those of the model, the new ones, and the folders that they are saved in. */
import path from 'node:path'
import type { RawModule } from '../core/binding.js'
import { EmbedCoreError } from '../core/errors.js'
import { type Activation, ACTIVATIONS, type ModelKind, POOLINGS, type PoolingMode } from '../core/names.js'
import { checkOptions, flag, integer, invalidOption, oneOf } from '../core/options.js'
import type { ModelDescription } from '../model/directory.js'
import { OWN_TRANSFORMER } from '../core/module-list.js'
import type { Layout } from './attention.js'

/** A new Dense module. */
export interface ProjectionOptions {
  /** Default 768. */
  dimensions?: number
  /** Default `'identity'`. */
  activation?: Activation
  /** Default true. */
  bias?: boolean
}

export type CheckedProjection = Required<ProjectionOptions>

const PROJECTION_RULES = { dimensions: integer(1, 1 << 20), activation: oneOf(...ACTIVATIONS), bias: flag }

export function checkProjection(given: unknown): CheckedProjection | null {
  if (given === undefined) return null
  const {
    dimensions = 768,
    activation = 'identity',
    bias = true,
  } = checkOptions(typeof given === 'number' ? { dimensions: given } : given, PROJECTION_RULES)
  return { dimensions, activation, bias }
}

/** A module of the run. `directory` of the source; null = new. */
export interface StackModule {
  raw: RawModule & { trained: boolean }
  directory: string | null
  /** In the saved model, `2_Dense`. */
  folder: string
}

export interface Stack {
  kind: ModelKind
  pooling: PoolingMode[]
  includePrompt: boolean
  /** Width of the pooled rows, and of the result. */
  pooledWidth: number
  dimension: number
  modules: StackModule[]
  normalized: boolean
}

export interface StackChoice {
  pooling: PoolingMode[] | null
  projection: CheckedProjection | null
  normalize: boolean | null
  /** Whether the model's own modules are trained. */
  trainsOwn: boolean
}

/** A static model takes the mean of all rows, those of a prompt too. */
const STATIC_POOLING: NonNullable<ModelDescription['pooling']> = { modes: ['mean'], includePrompt: true }
/** The number of the first module after the pooling; a static model pools itself. */
const FIRST_AFTER: Readonly<Record<ModelKind, number>> = { transformer: 2, static: 1 }

const CLASSES = { dense: 'Dense', layernorm: 'LayerNorm', normalize: 'Normalize' } as const

/** @throws ERR_EMBEDCORE_UNSUPPORTED_MODULE for a model that cannot be trained */
export function planStack(description: ModelDescription, hidden: number, choice: StackChoice): Stack {
  if (description.layerWeights !== null)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_UNSUPPORTED_MODULE',
      `The module WeightedLayerPooling of ${description.root} cannot be trained here yet`,
    )
  const { kind } = description
  const own = description.pooling ?? STATIC_POOLING
  const pooling = choice.pooling ?? own.modes
  const pooledWidth = hidden * pooling.length
  const list: Omit<StackModule, 'folder'>[] = description.modules.map((raw) => ({
    raw: { ...raw, trained: raw.type !== 'normalize' && choice.trainsOwn },
    directory: raw.type === 'normalize' ? null : raw.directory,
  }))
  const isNormalize = ({ raw }: Omit<StackModule, 'folder'>): boolean => raw.type === 'normalize'
  const normalized = choice.normalize ?? list.some(isNormalize)
  const kept = list.filter((module) => !isNormalize(module))
  // A projection goes before the normalisation, so that the result has length 1.
  if (choice.projection !== null) kept.push(projectionModule(choice.projection, widthOf(kept, pooledWidth)))
  const before = choice.projection === null && choice.normalize === null ? list : withEnd(kept, normalized)
  const first = before[0]?.raw
  const needs = first?.type === 'dense' ? first.inFeatures : first?.type === 'layernorm' ? first.dimension : null
  if (needs !== null && needs !== pooledWidth)
    throw invalidOption(
      'pooling',
      `modes that give ${needs} dimensions (the next module of the model takes so many, and each mode gives ${hidden})`,
      pooling.join(', '),
    )
  return {
    kind,
    pooling,
    includePrompt: own.includePrompt,
    pooledWidth,
    dimension: widthOf(before, pooledWidth),
    modules: before.map((module, i) => ({ ...module, folder: `${i + FIRST_AFTER[kind]}_${CLASSES[module.raw.type]}` })),
    normalized,
  }
}

type Modules = readonly Omit<StackModule, 'folder'>[]

function withEnd(kept: Modules, normalized: boolean): Omit<StackModule, 'folder'>[] {
  return normalized ? [...kept, { raw: { type: 'normalize', trained: false }, directory: null }] : [...kept]
}

function widthOf(modules: Modules, pooledWidth: number): number {
  return modules.reduce((width, { raw }) => (raw.type === 'dense' ? raw.outFeatures : width), pooledWidth)
}

function projectionModule({ dimensions, activation, bias }: CheckedProjection, width: number) {
  return {
    raw: {
      type: 'dense' as const,
      directory: '',
      inFeatures: width,
      outFeatures: dimensions,
      bias,
      activation,
      residual: false,
      trained: true,
    },
    directory: null,
  }
}

/** The folder of a static model's table. */
export const STATIC_FOLDER = '0_StaticEmbedding'

const TYPES = {
  static: 'sentence_transformers.models.StaticEmbedding',
  transformer: 'sentence_transformers.models.Transformer',
  pooling: 'sentence_transformers.models.Pooling',
  dense: 'sentence_transformers.models.Dense',
  layernorm: 'sentence_transformers.models.LayerNorm',
  normalize: 'sentence_transformers.models.Normalize',
}

/**
 * modules.json. The names of classes are those that every version of sentence-transformers reads, but for a transformer
 * of our own layout, which it must not read.
 */
export function moduleList(
  { kind, modules }: Stack,
  layout: Layout,
): { idx: number; name: string; path: string; type: string }[] {
  const encoder =
    kind === 'static'
      ? [{ path: STATIC_FOLDER, type: TYPES.static }]
      : [
          { path: '', type: layout === 'embedcore' ? OWN_TRANSFORMER : TYPES.transformer },
          { path: '1_Pooling', type: TYPES.pooling },
        ]
  const list = [...encoder, ...modules.map(({ raw, folder }) => ({ path: folder, type: TYPES[raw.type] }))]
  return list.map((module, idx) => ({ idx, name: String(idx), ...module }))
}

const POOLING_KEYS: Readonly<Record<PoolingMode, string>> = {
  cls: 'pooling_mode_cls_token',
  max: 'pooling_mode_max_tokens',
  mean: 'pooling_mode_mean_tokens',
  mean_sqrt_len: 'pooling_mode_mean_sqrt_len_tokens',
  weightedmean: 'pooling_mode_weightedmean_tokens',
  lasttoken: 'pooling_mode_lasttoken',
}
/** The order in which the older form of the file joins several modes. */
const OLDER_ORDER = Object.keys(POOLING_KEYS) as PoolingMode[]

/** config.json of the Pooling: the older form, which every reader takes, where it can say the same. */
export function poolingConfig({ pooling, includePrompt, pooledWidth }: Stack): Record<string, unknown> {
  const width = pooledWidth / pooling.length
  const inOrder = OLDER_ORDER.filter((mode) => pooling.includes(mode)).join() === pooling.join()
  if (!inOrder)
    return {
      embedding_dimension: width,
      pooling_mode: pooling.map((mode) => (mode === 'mean_sqrt_len' ? 'mean_sqrt_len_tokens' : mode)),
      include_prompt: includePrompt,
    }
  const flags = Object.fromEntries(POOLINGS.map((mode) => [POOLING_KEYS[mode], pooling.includes(mode)]))
  return { word_embedding_dimension: width, ...flags, include_prompt: includePrompt }
}

const TORCH: Readonly<Record<Activation, string>> = {
  identity: 'torch.nn.modules.linear.Identity',
  tanh: 'torch.nn.modules.activation.Tanh',
  relu: 'torch.nn.modules.activation.ReLU',
  gelu: 'torch.nn.modules.activation.GELU',
  sigmoid: 'torch.nn.modules.activation.Sigmoid',
  silu: 'torch.nn.modules.activation.SiLU',
}

/** config.json of a module after the pooling; null = it has none. */
export function moduleConfig({ raw }: StackModule): Record<string, unknown> | null {
  switch (raw.type) {
    case 'dense':
      return {
        in_features: raw.inFeatures,
        out_features: raw.outFeatures,
        bias: raw.bias,
        activation_function: TORCH[raw.activation],
        ...(raw.residual ? { use_residual: true } : {}),
      }
    case 'layernorm':
      return { dimension: raw.dimension }
    case 'normalize':
      return null
  }
}

/** Names of the tensors of a module in its own file; of the residual only where it has a matrix. */
export function moduleTensors({ raw }: StackModule): string[] {
  switch (raw.type) {
    case 'dense':
      return [
        'linear.weight',
        ...(raw.bias ? ['linear.bias'] : []),
        ...(raw.residual && raw.inFeatures !== raw.outFeatures ? ['residual.weight'] : []),
      ]
    case 'layernorm':
      return ['norm.weight', 'norm.bias']
    case 'normalize':
      return []
  }
}

/** Numbers that the modules have, and that are trained. */
export function stackParameters({ modules }: Stack): { parameters: number; trained: number } {
  let [parameters, trained] = [0, 0]
  for (const { raw } of modules) {
    const count =
      raw.type === 'dense'
        ? raw.inFeatures * raw.outFeatures * (raw.residual && raw.inFeatures !== raw.outFeatures ? 2 : 1) +
          (raw.bias ? raw.outFeatures : 0)
        : raw.type === 'layernorm'
          ? 2 * raw.dimension
          : 0
    parameters += count
    if (raw.trained) trained += count
  }
  return { parameters, trained }
}

/** Where the weights of a module are read from. */
export const moduleFile = (directory: string): string => path.join(directory, 'model.safetensors')
