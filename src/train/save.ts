/**
 * Saves the model of a run as a sentence-transformers directory, or its LoRA updates as a PEFT adapter in one. Every
 * file is whole or not there, and modules.json comes last: a directory that has it has everything.
 */
import { chmod, copyFile, mkdir, readdir, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { readFields } from '../core/json-file.js'
import type { RawSavedTensor } from '../core/training-binding.js'
import { packageVersion } from '../core/version.js'
import { exists } from '../model/modules.js'
import { OWN_LAYOUT_FILE, ownLayoutText } from '../model/own-layout.js'
import { syncFolder, writeFailure, writeWhole } from './checkpoint.js'
import { loraTargets } from './method.js'
import { type CardFacts, modelCard } from './model-card.js'
import type { Prepared } from './prepare.js'
import {
  moduleConfig,
  moduleFile,
  moduleList,
  moduleTensors,
  poolingConfig,
  type Stack,
  STATIC_FOLDER,
} from './stack.js'
import type { Trainer } from './trainer.js'

/** Files of the tokenizer and of the settings of the Transformer module. */
const SETTINGS = /^sentence_[a-z-]+_config\.json$/
const TOKENIZER =
  /^(tokenizer.*|special_tokens_map\.json|added_tokens\.json|vocab\.(txt|json)|merges\.txt|.*\.model|chat_template.*)$/
const MERGED_OR_WHOLE = ['model.safetensors', 'config.json']
const ADAPTER = ['adapter_model.safetensors', 'adapter_config.json']

/** @throws ERR_EMBEDCORE_WRITE_FAILED and what the trainer throws; the directory then has no modules.json. */
export async function saveModel(
  prepared: Prepared,
  trainer: Trainer,
  output: string,
  facts: Pick<CardFacts, 'metrics' | 'steps'>,
): Promise<void> {
  const { options, stack } = prepared
  const adapter = options.method.type === 'lora' && !options.merge
  try {
    await mkdir(output, { recursive: true })
    for (const name of ['modules.json', OWN_LAYOUT_FILE, ...MERGED_OR_WHOLE, ...ADAPTER])
      await rm(path.join(output, name), { force: true })
    for (const name of await readdir(output))
      // Modules of another model that was here.
      if (/^\d+_(Dense|LayerNorm|Normalize|Pooling|StaticEmbedding)$/.test(name))
        await rm(path.join(output, name), { recursive: true, force: true })
    if (stack.kind === 'static') await saveStatic(prepared, trainer, path.join(output, STATIC_FOLDER))
    else {
      if (adapter) await saveAdapter(prepared, trainer, output)
      else await saveTransformer(prepared, trainer, output)
      await savePooling(stack, path.join(output, '1_Pooling'))
      await copySettings(prepared, output)
    }
    await saveModules(prepared, trainer, output)
    await writeJson(path.join(output, 'config_sentence_transformers.json'), await generalConfig(prepared))
    await replaceFile(
      path.join(output, 'README.md'),
      modelCard(prepared, { ...facts, adapter, layout: prepared.attention.layout }),
    )
    await syncFolder(output)
    await writeJson(path.join(output, 'modules.json'), moduleList(stack, prepared.attention.layout))
    await syncFolder(output)
  } catch (error) {
    throw writeFailure(error, `the model to ${output}`)
  }
}

/** As StaticEmbedding saves itself: the table in float32, whatever the base had, and the tokenizer. */
async function saveStatic({ description, options }: Prepared, trainer: Trainer, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  await trainer.save({
    path: path.join(folder, 'model.safetensors'),
    tensors: [{ block: 'encoder', name: 'embedding.weight', as: 'embedding.weight' }],
    withRest: false,
    merged: false,
    average: options.averageDecay > 0,
    metadata: { format: 'pt' },
  })
  await copyWhole(path.join(description.directory, 'tokenizer.json'), path.join(folder, 'tokenizer.json'))
}

async function saveTransformer(
  { description, options, parts, parameters, attention, cls }: Prepared,
  trainer: Trainer,
  output: string,
): Promise<void> {
  const lora = parts.lora.length > 0
  await trainer.save({
    path: path.join(output, 'model.safetensors'),
    tensors: lora ? [] : trainer.parameters('encoder').map(({ name }) => ({ block: 'encoder', name, as: name })),
    withRest: true,
    merged: lora,
    average: options.averageDecay > 0,
    metadata: { format: 'pt' },
  })
  const config = { ...(await readFields(path.join(description.weights, 'config.json')))!.all }
  // Of masks that differ config.json says nothing.
  if (attention.decoder && !attention.mixed && attention.layers.length > 0)
    config['is_causal'] = !attention.bidirectional
  if (attention.layout === 'embedcore') {
    const { layers, bidirectional } = attention
    const own = layers.length > 0 ? layers : [bidirectional ? ('bidirectional' as const) : ('causal' as const)]
    await replaceFile(path.join(output, OWN_LAYOUT_FILE), ownLayoutText({ attention: own }))
  }
  if (cls !== null) config['vocab_size'] = Math.max(parameters[0]!.shape[0]!, cls.id + 1)
  await writeJson(path.join(output, 'config.json'), config)
}

/** With the names of PEFT. The base model is where it was: its directory, or its id at the hub. */
async function saveAdapter(prepared: Prepared, trainer: Trainer, output: string): Promise<void> {
  const { options, description, directory, parts, parameters } = prepared
  const { method } = options
  if (method.type !== 'lora') return
  await trainer.save({
    path: path.join(output, 'adapter_model.safetensors'),
    tensors: trainer
      .parameters('encoder')
      .map(({ name }) => ({ block: 'encoder', name, as: `base_model.model.${name}` })),
    withRest: false,
    merged: false,
    average: options.averageDecay > 0,
    metadata: { format: 'pt' },
  })
  const isPath = path.resolve(options.model) === path.resolve(directory)
  // A model with an adapter of its own is one of another base.
  const { base, revision } = description.adapter ?? {
    base: isPath ? path.resolve(directory) : options.model,
    revision: isPath ? null : options.hub.revision,
  }
  const modules = parameters
    .filter(({ name, shape }) => shape.length === 2 && name.endsWith('.weight'))
    .map(({ name }) => name.slice(0, -'.weight'.length))
  const layered = modules.filter((name) => /\.\d+\./.test(name))
  // A model of transformers may have matrices that are not read here (a pooler), which ends of names could mean too.
  const targets = loraTargets(layered, method)
  const whole = Array.isArray(targets) && targets.some((target) => target === 'dense' || target.endsWith('.dense'))
  await writeJson(path.join(output, 'adapter_config.json'), {
    alpha_pattern: method.alphaPattern,
    auto_mapping: null,
    base_model_name_or_path: base,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: whole ? null : method.layersToTransform,
    lora_alpha: method.alpha,
    lora_dropout: method.dropout,
    modules_to_save: null,
    peft_type: 'LORA',
    r: method.rank,
    rank_pattern: method.rankPattern,
    revision,
    target_modules: whole ? parts.lora.map(({ module }) => module) : targets,
    task_type: 'FEATURE_EXTRACTION',
    use_dora: false,
    use_rslora: method.rslora,
  })
}

async function savePooling(stack: Stack, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  await writeJson(path.join(folder, 'config.json'), poolingConfig(stack))
}

/** The modules after the pooling. */
async function saveModules({ options, stack }: Prepared, trainer: Trainer, output: string): Promise<void> {
  for (const [number, module] of stack.modules.entries()) {
    const folder = path.join(output, module.folder)
    const config = moduleConfig(module)
    await mkdir(folder, { recursive: true })
    if (config === null) continue
    await writeJson(path.join(folder, 'config.json'), config)
    const tensors: RawSavedTensor[] = moduleTensors(module).map((name) => ({
      block: 'head',
      name: `${number}.${name}`,
      as: name,
    }))
    if (module.raw.trained)
      await trainer.save({
        path: moduleFile(folder),
        tensors,
        withRest: false,
        merged: false,
        average: options.averageDecay > 0,
        metadata: { format: 'pt' },
      })
    else if (module.directory !== null) await copyWhole(moduleFile(module.directory), moduleFile(folder))
  }
}

/** The files of the tokenizer, and the settings of the Transformer module. */
export async function copySettings(
  { description, maxTokens, cls = null }: Pick<Prepared, 'description' | 'maxTokens'> & { cls?: Prepared['cls'] },
  output: string,
): Promise<void> {
  const own = path.resolve(description.directory)
  const names = (await readdir(own)).filter((name) => TOKENIZER.test(name) || SETTINGS.test(name))
  const made = cls?.files ?? new Map<string, string>()
  if (own !== path.resolve(output))
    for (const name of names) if (!made.has(name)) await copyWhole(path.join(own, name), path.join(output, name))
  for (const [name, content] of made) await replaceFile(path.join(output, name), content)
  if (!names.some((name) => SETTINGS.test(name)))
    await writeJson(path.join(output, 'sentence_bert_config.json'), {
      max_seq_length: description.maxTokens ?? maxTokens,
      do_lower_case: false,
    })
}

/** config_sentence_transformers.json: that of the model, or a new one. */
export async function generalConfig({ description }: Pick<Prepared, 'description'>): Promise<Record<string, unknown>> {
  const file = path.join(description.root, 'config_sentence_transformers.json')
  const given = (await exists(file)) ? (await readFields(file))!.all : {}
  return {
    model_type: 'SentenceTransformer',
    __version__: { embedcore: packageVersion() },
    prompts: description.prompts,
    default_prompt_name: description.defaultPromptName,
    similarity_fn_name: description.similarity,
    ...given,
  }
}

export const writeJson = (file: string, value: unknown): Promise<void> =>
  replaceFile(file, `${JSON.stringify(value, null, 2)}\n`)

export async function replaceFile(file: string, text: string): Promise<void> {
  await writeWhole(`${file}.unfinished`, text)
  await rename(`${file}.unfinished`, file)
}

export async function copyWhole(from: string, to: string): Promise<void> {
  await copyFile(from, `${to}.unfinished`)
  await chmod(`${to}.unfinished`, 0o644) // The original may be read-only.
  await rename(`${to}.unfinished`, to)
}
