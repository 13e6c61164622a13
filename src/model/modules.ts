/**
 * The modules that modules.json of sentence-transformers lists, and the settings of each.
 * A module this package does not run is refused by name with ERR_EMBEDCORE_UNSUPPORTED_MODULE, never skipped.
 */
import { stat } from 'node:fs/promises'
import path from 'node:path'
import type { RawLayerWeights, RawModule } from '../core/binding.js'
import { EmbedCoreError } from '../core/errors.js'
import { reason, show } from '../core/show.js'
import { type Activation, type PoolingMode, POOLINGS } from '../core/names.js'
import { type Fields, LARGEST_INTEGER, parseJson, readFields, readText } from '../core/json-file.js'
import { type ListedModule, parseModuleList } from '../core/module-list.js'

export interface Pooling {
  modes: PoolingMode[]
  /** false = the prompt's tokens are left out of pooling. */
  includePrompt: boolean
}

export interface ModuleEntry extends Omit<ListedModule, 'path'> {
  directory: string
}

/** The entries of modules.json by idx, or null when the directory has no such file. */
export async function readModuleList(root: string): Promise<ModuleEntry[] | null> {
  const file = path.join(root, 'modules.json')
  const text = await readText(file)
  if (text === null) return null
  const list = parseModuleList(parseJson(text, file), file)
  return list.map(({ path: folder, ...module }) => ({ ...module, directory: path.join(root, folder) }))
}

/** A bare directory of an adapter says neither how tokens become a vector nor which tokenizer it has. */
export async function refuseAdapter(directory: string): Promise<void> {
  const adapter = await readFields(path.join(directory, 'adapter_config.json'))
  if (adapter === null) return
  const base = adapter.raw('base_model_name_or_path')
  const kind = adapter.raw('peft_type')
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
    `Expected a model but found an adapter: ${adapter.file} (${show(kind)} of ${show(base)}). Load the base model ` +
      'with the option adapter, which adds it to the weights, or call loadAdapter of the base model',
  )
}

/** Refused by name, with what is supported. */
export function unsupportedModule(type: string, detail = ''): EmbedCoreError {
  return new EmbedCoreError(
    'ERR_EMBEDCORE_UNSUPPORTED_MODULE',
    `The module ${show(type)} is not supported${detail}. Supported are Transformer, StaticEmbedding, ` +
      'WeightedLayerPooling, Pooling, Dense, LayerNorm, Normalize and Dropout',
  )
}

const LEGACY_POOLING: readonly [key: string, mode: PoolingMode][] = [
  ['pooling_mode_cls_token', 'cls'],
  ['pooling_mode_max_tokens', 'max'],
  ['pooling_mode_mean_tokens', 'mean'],
  ['pooling_mode_mean_sqrt_len_tokens', 'mean_sqrt_len'],
  ['pooling_mode_weightedmean_tokens', 'weightedmean'],
  ['pooling_mode_lasttoken', 'lasttoken'],
]
/** Names of `pooling_mode`: those of POOLINGS, and one that is spelled differently in Python. */
const POOLING_NAMES: Readonly<Record<string, PoolingMode>> = {
  ...Object.fromEntries(POOLINGS.map((name) => [name, name])),
  mean_sqrt_len_tokens: 'mean_sqrt_len',
}

export async function readPooling(directory: string): Promise<Pooling> {
  const config = await requiredConfig(directory, 'Pooling')
  // The one field without a default: the reference refuses a configuration without it, such as an empty one.
  if (!config.has('embedding_dimension')) config.requiredInteger('word_embedding_dimension')
  return { modes: poolingModes(config), includePrompt: config.flag('include_prompt', true) }
}

function poolingModes(config: Fields): PoolingMode[] {
  if (config.has('pooling_mode')) {
    const given = config.raw('pooling_mode')
    const names = Array.isArray(given) ? given : [given]
    if (names.length === 0) config.refuse('pooling_mode', 'at least one pooling mode')
    return names.map((name) => {
      if (typeof name === 'string' && Object.hasOwn(POOLING_NAMES, name)) return POOLING_NAMES[name]!
      return config.refuse('pooling_mode', `one or a list of ${Object.keys(POOLING_NAMES).join(', ')}`)
    })
  }
  const unknown = config.keys.find(
    (key) => key.startsWith('pooling_mode_') && !LEGACY_POOLING.some(([known]) => known === key),
  )
  if (unknown !== undefined && config.flag(unknown, false))
    config.refuse(unknown, `false (a pooling mode not known here)`)
  const active = LEGACY_POOLING.filter(([key]) => config.flag(key, false)).map(([, mode]) => mode)
  return active.length === 0 ? ['mean'] : active
}

export async function readLayerWeights(directory: string): Promise<RawLayerWeights> {
  const config = await requiredConfig(directory, 'WeightedLayerPooling')
  const layerStart = config.integer('layer_start', 4, 0)
  const layers = config.integer('num_hidden_layers', 12, 0)
  if (layerStart > layers) config.refuse('layer_start', `an integer from 0 to ${layers} (num_hidden_layers)`)
  if (config.integer('embedding_dimension', null) === null && config.integer('word_embedding_dimension', null) === null)
    config.refuse('embedding_dimension', `an integer from 1 to ${LARGEST_INTEGER}`)
  await requireWeights(directory)
  // One weight for each hidden state, from layerStart to the last; the embeddings are state 0.
  return { directory, layerStart }
}

/** A module after the pooling; null = nothing to do at inference. */
export async function readModule({ kind, type, directory }: ModuleEntry): Promise<RawModule | null> {
  switch (kind) {
    case 'Dense':
      return readDense(type, directory)
    case 'LayerNorm': {
      const config = await requiredConfig(directory, kind)
      await requireWeights(directory)
      return { type: 'layernorm', directory, dimension: config.requiredInteger('dimension') }
    }
    case 'Normalize': {
      const config = await readFields(path.join(directory, 'config.json'))
      if (config !== null) requireSentenceNames(config, type)
      return { type: 'normalize' }
    }
    case 'Dropout':
      return null
    default:
      throw unsupportedModule(type)
  }
}

async function readDense(type: string, directory: string): Promise<RawModule> {
  const config = await requiredConfig(directory, 'Dense')
  requireSentenceNames(config, type)
  const dense = {
    type: 'dense' as const,
    directory,
    inFeatures: config.requiredInteger('in_features'),
    outFeatures: config.requiredInteger('out_features'),
    bias: config.flag('bias', true),
    activation: activation(config, type),
    residual: config.flag('use_residual', false),
  }
  await requireWeights(directory)
  return dense
}

/**
 * Names of torch.nn classes, by their last segment. sentence-transformers builds them without arguments, so GELU is the
 * exact one.
 */
const ACTIVATIONS: Record<string, Activation> = {
  Identity: 'identity',
  Tanh: 'tanh',
  ReLU: 'relu',
  GELU: 'gelu',
  Sigmoid: 'sigmoid',
  SiLU: 'silu',
}

function activation(config: Fields, type: string): Activation {
  if (config.raw('activation_function') === null) return 'identity'
  const name = config.text('activation_function', 'torch.nn.modules.activation.Tanh')
  const last = name.slice(name.lastIndexOf('.') + 1)
  if (name.startsWith('torch.nn.') && Object.hasOwn(ACTIVATIONS, last)) return ACTIVATIONS[last]!
  throw unsupportedModule(
    type,
    `: expected one of torch.nn's ${Object.keys(ACTIVATIONS).join(', ')} for "activation_function" in ${config.file} ` +
      `but found ${show(name)}`,
  )
}

/** Modules that read or write anything other than the sentence embedding belong to multi-vector models. */
function requireSentenceNames(config: Fields, type: string): void {
  for (const key of ['module_input_name', 'module_output_name']) {
    const name = config.text(key, 'sentence_embedding')
    if (name !== 'sentence_embedding')
      throw unsupportedModule(type, `: its ${key} in ${config.file} is ${show(name)}, not "sentence_embedding"`)
  }
}

async function requiredConfig(directory: string, kind: string): Promise<Fields> {
  const file = path.join(directory, 'config.json')
  const config = await readFields(file)
  if (config === null) throw new EmbedCoreError('ERR_EMBEDCORE_NOT_FOUND', `The ${kind} module has no ${file}`)
  return config
}

/** Weights are read natively; here only a folder without them is refused, with advice. */
export async function requireWeights(
  directory: string,
  accepted: readonly string[] = ['model.safetensors'],
): Promise<void> {
  for (const name of accepted) if (await exists(path.join(directory, name))) return
  const other =
    (await exists(path.join(directory, 'pytorch_model.bin'))) ||
    (await exists(path.join(directory, 'pytorch_model.bin.index.json')))
  const advice = other
    ? '; it has pytorch_model.bin only: open it in Python and save it again with ' +
      'save_pretrained(…, safe_serialization=True)'
    : ''
  throw new EmbedCoreError('ERR_EMBEDCORE_NOT_FOUND', `No ${accepted.join(' or ')} in ${directory}${advice}`)
}

export async function exists(file: string): Promise<boolean> {
  try {
    await stat(file)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return false
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', `Cannot read ${file}: ${reason(error)}`, { cause: error })
  }
}
