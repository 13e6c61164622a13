/**
 * The description of a model directory: modules, pooling, prompts and lengths from its JSON files, with the defaults of
 * sentence-transformers. Reads no weights and no tokenizer. Three layouts: modules.json (sentence-transformers),
 * model2vec, and plain Hugging Face.
 */
import { open, stat } from 'node:fs/promises'
import path from 'node:path'
import type { RawLayerWeights, RawModule } from '../core/binding.js'
import { EmbedCoreError } from '../core/errors.js'
import { reason, show } from '../core/show.js'
import { type PoolingMode, SIMILARITIES, type SimilarityName } from '../core/names.js'
import { type Fields, readFields } from '../core/json-file.js'
import { OWN_TRANSFORMER } from '../core/module-list.js'
import {
  type ModuleEntry,
  type Pooling,
  readLayerWeights,
  readModule,
  readModuleList,
  readPooling,
  refuseAdapter,
  requireWeights,
  unsupportedModule,
} from './modules.js'
import { readPeftConfig } from './peft.js'
import { type ModelAttention, readOwnLayout } from './own-layout.js'
import { NO_PROMPTS, readPrompts } from './prompts.js'
import { readTransformerSettings, type TransformerSettings } from './transformer-settings.js'

export interface ModelDescription {
  kind: 'transformer' | 'static'
  /** The directory of the first module: its tokenizer, settings and, without an adapter, config.json and weights. */
  directory: string
  /** Of config.json and the weights; of a directory with an adapter that of its base model, once that is known. */
  weights: string
  root: string
  /** The adapter in `directory`, of a base model elsewhere; null = none. */
  adapter: DirectoryAdapter | null
  /** null for static models, which always take the mean. */
  pooling: { modes: PoolingMode[]; includePrompt: boolean } | null
  layerWeights: RawLayerWeights | null
  /** One for all layers, or one for each; empty = as config.json says. */
  attention: ModelAttention[]
  /** After the pooling, in order. */
  modules: RawModule[]
  prompts: Record<string, string>
  defaultPromptName: string | null
  similarity: SimilarityName
  /** Tokens a text is cut to, from the model's own files; null = they do not say. */
  maxTokens: number | null
  /** `do_lower_case` of sentence-transformers; that of tokenizer_config.json is read with the tokenizer. */
  lowerCase: boolean | null
  /** `truncate_dim` of the model: dimensions kept when a call names none; null = all. */
  dimensions: number | null
}

/** An adapter in place of weights, as transformers and sentence-transformers save one. */
export interface DirectoryAdapter {
  directory: string
  /** The path or hub id of the base model. */
  base: string
  revision: string | null
}

const WEIGHT_FILES = ['model.safetensors', 'model.safetensors.index.json'] as const

export async function readModelDirectory(directory: string): Promise<ModelDescription> {
  const root = path.resolve(directory)
  await requireDirectory(root)
  const list = await readModuleList(root)
  return list === null ? describeBareDirectory(root) : describeModules(root, list)
}

async function requireDirectory(root: string): Promise<void> {
  let info
  try {
    info = await stat(root)
  } catch (error) {
    const code =
      (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'ERR_EMBEDCORE_NOT_FOUND' : 'ERR_EMBEDCORE_INVALID_FILE'
    throw new EmbedCoreError(code, `Cannot open the model directory ${root}: ${reason(error)}`, { cause: error })
  }
  if (!info.isDirectory())
    throw new EmbedCoreError('ERR_EMBEDCORE_NOT_FOUND', `Expected a model directory but ${root} is a file`)
}

async function describeModules(root: string, list: ModuleEntry[]): Promise<ModelDescription> {
  const general = await readGeneral(root)
  const [first, ...rest] = list
  if (first!.kind === 'StaticEmbedding') {
    await requireWeights(first!.directory)
    return { ...general, ...staticModel(root, first!.directory), modules: await readModules(rest) }
  }
  if (first!.kind !== 'Transformer' && first!.kind !== OWN_TRANSFORMER)
    throw unsupportedModule(first!.type, ' as the first module')
  const own = first!.kind === OWN_TRANSFORMER ? await readOwnLayout(first!.directory) : null
  const adapter = await readAdapter(first!.directory)
  const settings = await readTransformerSettings(first!.directory)
  if (adapter === null) await requireWeights(first!.directory, WEIGHT_FILES)
  const { layerWeights, pooling, after } = await splitStack(root, rest, settings)
  return {
    ...general,
    ...transformerModel(root, first!.directory, settings),
    adapter,
    pooling,
    layerWeights,
    attention: own?.attention ?? [],
    modules: await readModules(after),
  }
}

/** transformers applies an adapter that it finds, to the base that the adapter names, whatever else is there. */
async function readAdapter(directory: string): Promise<DirectoryAdapter | null> {
  const config = await readPeftConfig(directory)
  if (config === null) return null
  if (config.base !== null && config.base !== '') return { directory, base: config.base, revision: config.revision }
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_CONFIG',
    `Expected the path or hub id of a model for "base_model_name_or_path" in ${config.file} but found ` +
      show(config.base),
  )
}

async function splitStack(
  root: string,
  rest: ModuleEntry[],
  settings: TransformerSettings,
): Promise<{ layerWeights: RawLayerWeights | null; pooling: Pooling; after: ModuleEntry[] }> {
  const after = [...rest]
  let layerWeights: RawLayerWeights | null = null
  if (after[0]?.kind === 'WeightedLayerPooling') {
    layerWeights = await readLayerWeights(after.shift()!.directory)
    // Without hidden states the reference uses the last layer alone and ignores the weights.
    if (!settings.outputHiddenStates) layerWeights = null
  }
  const next = after.shift()
  if (next === undefined)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_CONFIG',
      `Expected a Pooling module after the Transformer in ${path.join(root, 'modules.json')} but found none`,
    )
  if (next.kind !== 'Pooling') throw unsupportedModule(next.type, ' between the Transformer and its Pooling')
  let pooling = await readPooling(next.directory)
  // A later Pooling reads the token vectors again and replaces the sentence embedding, so the modules before it have no
  // effect. They are read anyway, so that a module that is not supported is refused.
  for (let last = lastPooling(after); last >= 0; last = lastPooling(after)) {
    const [replacement] = after.splice(last, 1)
    await readModules(after.splice(0, last).filter(({ kind }) => kind !== 'Pooling'))
    pooling = await readPooling(replacement!.directory)
  }
  return { layerWeights, pooling, after }
}

function lastPooling(entries: ModuleEntry[]): number {
  return entries.findLastIndex(({ kind }) => kind === 'Pooling')
}

async function readModules(entries: ModuleEntry[]): Promise<RawModule[]> {
  const modules: RawModule[] = []
  for (const entry of entries) {
    const module = await readModule(entry)
    if (module !== null) modules.push(module)
  }
  return modules
}

/** A directory without modules.json. Its config_sentence_transformers.json is not read, as in the reference. */
async function describeBareDirectory(root: string): Promise<ModelDescription> {
  const config = await readFields(path.join(root, 'config.json'))
  const modelType = config?.raw('model_type')
  const general = { ...NO_PROMPTS, similarity: 'cosine' as const, dimensions: null }
  if (modelType === 'model2vec' || (typeof modelType !== 'string' && (await holdsOnlyEmbeddings(root)))) {
    await requireWeights(root)
    const modules: RawModule[] = config?.flag('normalize', false) ? [{ type: 'normalize' }] : []
    return { ...general, ...staticModel(root, root), modules }
  }
  await refuseAdapter(root)
  if (config === null) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_NOT_FOUND',
      `Expected modules.json (sentence-transformers) or config.json (Hugging Face) in ${root} but found neither, so ` +
        'it is not a model directory',
    )
  }
  await requireWeights(root, WEIGHT_FILES)
  const settings = await readTransformerSettings(root, { plain: true })
  return {
    ...general,
    ...transformerModel(root, root, settings),
    layerWeights: null,
    modules: [],
    pooling: { modes: [isCausalLanguageModel(config) ? 'lasttoken' : 'mean'], includePrompt: true },
  }
}

/** sentence-transformers pools a plain causal language model by its last token and everything else by the mean. */
function isCausalLanguageModel(config: Fields): boolean {
  const architectures = config.raw('architectures')
  const first = Array.isArray(architectures) ? architectures[0] : undefined
  const causal = config.raw('is_causal')
  return typeof first === 'string' && first.endsWith('ForCausalLM') && (causal === undefined || Boolean(causal))
}

function staticModel(root: string, directory: string) {
  return {
    kind: 'static' as const,
    directory,
    weights: directory,
    root,
    adapter: null,
    pooling: null,
    layerWeights: null,
    attention: [],
    maxTokens: null,
    lowerCase: null,
  }
}

function transformerModel(root: string, directory: string, { maxTokens, lowerCase }: TransformerSettings) {
  return {
    kind: 'transformer' as const,
    directory,
    weights: directory,
    root,
    adapter: null as DirectoryAdapter | null,
    attention: [] as ModelAttention[],
    maxTokens,
    lowerCase,
  }
}

/** config_sentence_transformers.json: prompts, similarity, truncate_dim. */
async function readGeneral(root: string) {
  const config = await readFields(path.join(root, 'config_sentence_transformers.json'))
  if (config === null) return { ...NO_PROMPTS, similarity: 'cosine' as const, dimensions: null }
  const modelType = config.text('model_type', 'SentenceTransformer')
  if (modelType !== 'SentenceTransformer') {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
      `Expected "SentenceTransformer" for "model_type" in ${config.file} but found ${show(modelType)}`,
    )
  }
  const similarity =
    SIMILARITIES.find((name) => name === config.text('similarity_fn_name', 'cosine')) ??
    config.refuse('similarity_fn_name', `one of ${SIMILARITIES.join(', ')}`)
  return { ...readPrompts(config), similarity, dimensions: config.integer('truncate_dim', null) }
}

async function holdsOnlyEmbeddings(root: string): Promise<boolean> {
  const names = await tensorNames(path.join(root, 'model.safetensors'))
  return (
    names !== null &&
    names.length > 0 &&
    names.every((name) => ['embeddings', 'embedding.weight', 'mapping', 'weights'].includes(name))
  )
}

/** The longest header looked at here; a static model's is a few hundred bytes. */
const LONGEST_HEADER = 1024 * 1024

/**
 * Tensor names in a safetensors header, or null when the file is absent or its header is not a small table's. The
 * native reader checks the file.
 */
async function tensorNames(file: string): Promise<string[] | null> {
  let handle
  try {
    handle = await open(file, 'r')
    const length = Buffer.alloc(8)
    if ((await handle.read(length, 0, 8, 0)).bytesRead < 8) return null
    const size = length.readBigUInt64LE()
    if (size > BigInt(LONGEST_HEADER)) return null
    const header = Buffer.alloc(Number(size))
    if ((await handle.read(header, 0, header.length, 8)).bytesRead < header.length) return null
    const names: unknown = JSON.parse(header.toString('utf8'))
    return typeof names === 'object' && names !== null && !Array.isArray(names)
      ? Object.keys(names).filter((name) => name !== '__metadata__')
      : null
  } catch {
    return null
  } finally {
    await handle?.close()
  }
}
