/** Saves a model with a linear map behind its modules, as a directory of sentence-transformers. */
import { mkdir, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { EmbedCoreError } from '../core/errors.js'
import { readFields } from '../core/json-file.js'
import type { EncoderOptions } from '../evaluate/types.js'
import { parseLayers } from '../model/layers.js'
import { descriptionOf, type Model } from '../model/model.js'
import type { ModelDescription } from '../model/directory.js'
import { exists, readModuleList } from '../model/modules.js'
import { syncFolder, writeFailure } from '../train/checkpoint.js'
import { copySettings, copyWhole, generalConfig, writeJson } from '../train/save.js'
import { moduleConfig, moduleFile, moduleList, poolingConfig, type Stack } from '../train/stack.js'
import { type DenseMap, saveDense } from './dense-file.js'
import { mappedStack, staticModuleList } from './mapped-stack.js'
import { tensorsIn, type TensorSource, writeTensors } from './tensor-files.js'

interface SavedMap extends DenseMap {
  readonly normalize: boolean
}

/** @throws ERR_EMBEDCORE_UNSUPPORTED_MODEL, _SHAPE_MISMATCH, _INVALID_OPTION before anything is written */
export async function saveTransformedModel(
  map: SavedMap,
  model: Model,
  encode: EncoderOptions | null,
  output: string,
): Promise<void> {
  const description = descriptionOf(model)
  if (description.adapter !== null)
    throw unsupported(
      `a model without an adapter but ${model.info.name} has that of ${description.adapter.directory}: merge it first`,
    )
  if (description.attention.length > 0)
    throw unsupported(
      `a model in the layout of sentence-transformers but ${model.info.name} has masks that only embedcore.json ` +
        'names; apply() maps its vectors',
    )
  if (path.resolve(output) === path.resolve(description.root))
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `Expected another directory than the model's, ${output}`)
  const kept = encode === null ? null : checkSavable(encode, model)
  const { stack, width } = mappedStack(description, model.info.hiddenSize, {
    pooling: pooledAs(encode),
    normalizesFirst: encode === null ? null : (encode.normalize ?? null),
    normalize: map.normalize,
    outFeatures: map.outFeatures,
  })
  const whole = widened(map, width, model)
  const place = stack.modules.findIndex(({ raw, directory }) => raw.type === 'dense' && directory === null)
  if (whole !== map && stack.modules.slice(0, place).some(({ raw }) => raw.type === 'normalize'))
    throw unsupported('all dimensions of normalised vectors (a model that is cut normalises again what is left)')
  try {
    await clear(output)
    const list =
      description.kind === 'static'
        ? staticModuleList(stack, await copyStatic(description, output))
        : await copyTransformer(description, kept, model, stack, output)
    for (const module of stack.modules) {
      const folder = path.join(output, module.folder)
      await mkdir(folder, { recursive: true })
      if (module.raw.type === 'dense' && module.directory === null) {
        await saveDense(folder, whole)
        continue
      }
      const config = moduleConfig(module)
      if (config === null) continue
      await writeJson(path.join(folder, 'config.json'), config)
      if (module.directory !== null) await copyWhole(moduleFile(module.directory), moduleFile(folder))
    }
    const { truncate_dim: _, ...general } = await generalConfig({ description })
    await writeJson(path.join(output, 'config_sentence_transformers.json'), general)
    await syncFolder(output)
    await writeJson(path.join(output, 'modules.json'), list)
    await syncFolder(output)
  } catch (error) {
    throw writeFailure(error, `the model to ${output}`)
  }
}

function unsupported(expected: string): EmbedCoreError {
  return new EmbedCoreError('ERR_EMBEDCORE_UNSUPPORTED_MODEL', `Expected ${expected}`)
}

/** Families whose layers end in their norm, so that a model of fewer layers gives the hidden states of the larger. */
const POST_NORM = ['bert', 'distilbert', 'mpnet', 'roberta', 'xlm-roberta', 'camembert']

/** How many layers the saved model has; null = all. */
function checkSavable(encode: EncoderOptions, model: Model): number | null {
  for (const name of ['attention', 'prefixTokens', 'adapter'] as const)
    if (encode[name] !== undefined)
      throw unsupported(`a fit without encode.${name} for a model to be saved; apply() maps such vectors`)
  const { family, layers: all, name } = model.info
  if (encode.layers === undefined) return null
  const layers = parseLayers(encode.layers, all)
  if (layers.length === 1 && layers[0] === all) return null
  if (layers.length === 1 && layers[0]! > 0 && POST_NORM.includes(family)) return layers[0]!
  throw unsupported(
    `the last layer, or one other layer of a model whose layers end in their norm (${POST_NORM.join(', ')}), for a ` +
      `model to be saved but the fit has the layers ${layers.join(', ')} of ${name} (${family}); ` +
      'apply() maps such vectors',
  )
}

const pooledAs = (encode: EncoderOptions | null): Stack['pooling'] | null =>
  encode?.pooling === undefined ? null : ([encode.pooling].flat() as Stack['pooling'])

/** The map for vectors of all dimensions, where it was fitted to the first ones. */
function widened(map: SavedMap, width: number, model: Model): DenseMap {
  const { inFeatures, outFeatures, weight, bias } = map
  if (width === inFeatures) return map
  if (inFeatures > width)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_SHAPE_MISMATCH',
      `Expected a model whose vectors have ${inFeatures} numbers before their normalisation but those of ` +
        `${model.info.name} have ${width}`,
    )
  const wide = new Float32Array(outFeatures * width)
  for (let k = 0; k < outFeatures; k++) wide.set(weight.subarray(k * inFeatures, (k + 1) * inFeatures), k * width)
  return { inFeatures: width, outFeatures, weight: wide, bias }
}

/** Removes what makes a model of the directory, and modules of another one. */
async function clear(output: string): Promise<void> {
  await mkdir(output, { recursive: true })
  for (const name of ['modules.json', 'config.json', 'model.safetensors', 'model.safetensors.index.json'])
    await rm(path.join(output, name), { force: true })
  for (const name of await readdir(output))
    if (
      /^\d+_(Dense|LayerNorm|Normalize|Pooling|StaticEmbedding)$/.test(name) ||
      /^model-\d+-of-\d+\.safetensors$/.test(name)
    )
      await rm(path.join(output, name), { recursive: true, force: true })
}

/** Returns the class of the module. One of the model's own code comes with that code. */
async function copyStatic({ directory, root }: ModelDescription, output: string): Promise<string> {
  for (const name of ['tokenizer.json', 'config.json', 'model.safetensors'])
    if (await exists(path.join(directory, name))) await copyWhole(path.join(directory, name), path.join(output, name))
  const type = (await readModuleList(root))?.[0]?.type ?? 'sentence_transformers.models.StaticEmbedding'
  if (!type.startsWith('sentence_transformers.'))
    for (const name of (await readdir(root)).filter((file) => file.endsWith('.py')))
      await copyWhole(path.join(root, name), path.join(output, name))
  return type
}

async function copyTransformer(
  description: ModelDescription,
  layers: number | null,
  model: Model,
  stack: Stack,
  output: string,
): Promise<ReturnType<typeof moduleList>> {
  const { weights } = description
  await copySettings({ description, maxTokens: model.info.maxTokens || null }, output)
  const config = { ...(await readFields(path.join(weights, 'config.json')))!.all }
  if (layers !== null) config[config['model_type'] === 'distilbert' ? 'n_layers' : 'num_hidden_layers'] = layers
  await writeJson(path.join(output, 'config.json'), config)
  const files = (await readdir(weights)).filter((name) =>
    /^model(-\d+-of-\d+)?\.safetensors(\.index\.json)?$/.test(name),
  )
  if (layers === null) {
    for (const name of files) await copyWhole(path.join(weights, name), path.join(output, name))
    return writePooling(stack, output)
  }
  const tensors: TensorSource[] = []
  for (const name of files.filter((file) => file.endsWith('.safetensors')).sort())
    tensors.push(...(await tensorsIn(path.join(weights, name), (tensor) => (layerOf(tensor) ?? -1) < layers)))
  await writeTensors(path.join(output, 'model.safetensors'), tensors)
  return writePooling(stack, output)
}

/** The layer of a tensor, from 0; null = it is of none. */
function layerOf(name: string): number | null {
  const found = /(?:^|\.)layer\.(\d+)\./.exec(name)?.[1]
  return found === undefined ? null : Number(found)
}

async function writePooling(stack: Stack, output: string): Promise<ReturnType<typeof moduleList>> {
  await mkdir(path.join(output, '1_Pooling'), { recursive: true })
  await writeJson(path.join(output, '1_Pooling', 'config.json'), poolingConfig(stack))
  return moduleList(stack, 'sentence-transformers')
}
