/** The modules of a model with a linear map behind its own. */
import { EmbedCoreError } from '../core/errors.js'
import type { PoolingMode } from '../core/names.js'
import type { ModelDescription } from '../model/directory.js'
import { moduleList, type Stack, type StackModule } from '../train/stack.js'

export interface MappedStack {
  /** The new module has no directory. */
  stack: Stack
  /** Numbers of the vectors before the map. */
  width: number
}

interface Choice {
  /** null = the model's own. */
  pooling: PoolingMode[] | null
  /** Before the map: true = also at the end, false = nowhere, null = as the model's modules say. */
  normalizesFirst: boolean | null
  /** After the map. */
  normalize: boolean
  outFeatures: number
}

type Module = Omit<StackModule, 'folder'>
const NORMALIZE: Module = { raw: { type: 'normalize', trained: false }, directory: null }
const CLASSES = { dense: 'Dense', layernorm: 'LayerNorm', normalize: 'Normalize' } as const

/** @throws ERR_EMBEDCORE_UNSUPPORTED_MODULE for WeightedLayerPooling */
export function mappedStack(description: ModelDescription, hidden: number, choice: Choice): MappedStack {
  if (description.layerWeights !== null)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_UNSUPPORTED_MODULE',
      `The module WeightedLayerPooling of ${description.root} cannot be saved with a map yet; apply() maps its vectors`,
    )
  const own = description.modules.map((raw): Module => ({
    raw: { ...raw, trained: false },
    directory: raw.type === 'normalize' ? null : raw.directory,
  }))
  const before = choice.normalizesFirst === false ? own.filter(({ raw }) => raw.type !== 'normalize') : own
  if (choice.normalizesFirst === true && before.at(-1)?.raw.type !== 'normalize') before.push(NORMALIZE)
  const pooling = choice.pooling ?? description.pooling?.modes ?? []
  const pooledWidth = description.kind === 'static' ? hidden : hidden * pooling.length
  const width = before.reduce((size, { raw }) => (raw.type === 'dense' ? raw.outFeatures : size), pooledWidth)
  const dense: Module = {
    raw: {
      type: 'dense',
      directory: '',
      inFeatures: width,
      outFeatures: choice.outFeatures,
      bias: true,
      activation: 'identity',
      residual: false,
      trained: false,
    },
    directory: null,
  }
  const modules = [...before, dense, ...(choice.normalize ? [NORMALIZE] : [])]
  // A static model is one module, a transformer two, with its pooling.
  const first = description.kind === 'static' ? 1 : 2
  const stack = {
    kind: description.kind,
    pooling,
    includePrompt: description.pooling?.includePrompt ?? true,
    pooledWidth,
    dimension: choice.outFeatures,
    modules: modules.map((module, i) => ({ ...module, folder: `${i + first}_${CLASSES[module.raw.type]}` })),
    normalized: choice.normalize,
  }
  return { stack, width }
}

/** modules.json of a static model, whose first module has the class `type`. */
export function staticModuleList(stack: Stack, type: string): ReturnType<typeof moduleList> {
  const [, ...after] = moduleList(stack, 'sentence-transformers')
  return [{ idx: 0, name: '0', path: '', type }, ...after]
}
