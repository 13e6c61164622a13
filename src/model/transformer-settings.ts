/**
 * The settings file of a Transformer module (sentence_bert_config.json and its older names). Settings that would change
 * the vectors in a way that is not supported are refused by name.
 */
import path from 'node:path'
import { show } from '../core/show.js'
import { type Fields, LARGEST_INTEGER, readFields } from '../core/json-file.js'
import { unsupportedModule } from './modules.js'

export interface TransformerSettings {
  maxTokens: number | null
  lowerCase: boolean | null
  /** Whether the reference passes all hidden states to a WeightedLayerPooling. */
  outputHiddenStates: boolean
}

/** In the order in which the reference tries them; the first file with any setting counts. */
const FILE_NAMES = ['bert', 'roberta', 'distilbert', 'camembert', 'albert', 'xlm-roberta', 'xlnet'].map(
  (name) => `sentence_${name}_config.json`,
)

/** `plain`: a directory without modules.json, whose settings file the reference does not open. */
export async function readTransformerSettings(directory: string, { plain = false } = {}): Promise<TransformerSettings> {
  const settings = plain ? null : await readSettingsFile(directory)
  const tokenizerConfig = await readFields(path.join(directory, 'tokenizer_config.json'))
  const config = await readFields(path.join(directory, 'config.json'))
  const hiddenStates = [config, ...argumentsOf(settings, 'config'), ...argumentsOf(settings, 'model')].some(
    (fields) => fields?.raw('output_hidden_states') === true,
  )
  if (settings !== null) refuseOtherBehaviour(settings)
  return {
    maxTokens: (settings === null ? null : settingsLength(settings)) ?? modelMaxLength(tokenizerConfig),
    lowerCase: settings?.flag('do_lower_case', null) ?? null,
    outputHiddenStates: hiddenStates,
  }
}

async function readSettingsFile(directory: string): Promise<Fields | null> {
  for (const name of FILE_NAMES) {
    const fields = await readFields(path.join(directory, name))
    if (fields !== null && fields.keys.length > 0) return fields
  }
  return null
}

/**
 * Old and new names of the arguments that a settings file passes to transformers: `config_args` became `config_kwargs`.
 */
function argumentsOf(settings: Fields | null, what: 'config' | 'model' | 'tokenizer'): Fields[] {
  const names = [`${what}_args`, what === 'tokenizer' ? 'processor_kwargs' : `${what}_kwargs`]
  return names.map((name) => settings?.fields(name) ?? null).filter((fields) => fields !== null)
}

function settingsLength(settings: Fields): number | null {
  for (const fields of argumentsOf(settings, 'tokenizer')) {
    const length = fields.integer('model_max_length', null)
    if (length !== null) return length
  }
  const common = settings.fields('processing_kwargs')?.fields('text')?.integer('max_length', null) ?? null
  return common ?? settings.integer('max_seq_length', null)
}

/** transformers writes 1e30 for "no limit", so a length beyond int32 means no limit. */
function modelMaxLength(tokenizerConfig: Fields | null): number | null {
  const length = tokenizerConfig?.number('model_max_length', null) ?? null
  if (length === null || length > LARGEST_INTEGER) return null
  if (!Number.isInteger(length) || length < 1) tokenizerConfig!.refuse('model_max_length', 'a positive integer')
  return length
}

/** Arguments that choose how the reference computes, not what. */
const HARMLESS = new Set([
  'attn_implementation',
  'cache_dir',
  'device_map',
  'dtype',
  'local_files_only',
  'low_cpu_mem_usage',
  'model_max_length',
  'output_attentions',
  'output_hidden_states',
  'padding_side',
  'revision',
  'return_dict',
  'token',
  'torch_dtype',
  'trust_remote_code',
  'unpad_inputs',
  'use_cache',
  'use_fast',
  'use_flash_attention_2',
  'use_flash_attn',
  'use_memory_efficient_attention',
  'use_safetensors',
])

function refuseOtherBehaviour(settings: Fields): void {
  const refuse = (key: string, value: unknown): never => {
    throw unsupportedModule('Transformer', ` with ${key} ${show(value)} (in ${settings.file})`)
  }
  for (const what of ['config', 'model', 'tokenizer'] as const) {
    for (const fields of argumentsOf(settings, what)) {
      const key = fields.keys.find((name) => !HARMLESS.has(name) && fields.has(name))
      if (key !== undefined) refuse(`${what} argument ${show(key)}`, fields.raw(key))
    }
  }
  for (const [key, usual] of [
    ['transformer_task', 'feature-extraction'],
    ['module_output_name', 'token_embeddings'],
  ] as const) {
    if (settings.text(key, usual) !== usual) refuse(key, settings.raw(key))
  }
  for (const key of ['query_expansion', 'query_length', 'document_length', 'tokenizer_name_or_path'])
    if (settings.has(key)) refuse(key, settings.raw(key))
  refuseOtherModality(settings, refuse)
}

function refuseOtherModality(settings: Fields, refuse: (key: string, value: unknown) => never): void {
  const modalities = settings.fields('modality_config')
  if (modalities === null) return
  // With "message" the reference puts every text through the chat template.
  if (modalities.has('message')) refuse('modality', 'message')
  const text = modalities.fields('text')
  if (text === null) return refuse('modality_config without', 'text')
  if (text.text('method', 'forward') !== 'forward') refuse('method', text.raw('method'))
  const output = text.raw('method_output_name')
  const name = Array.isArray(output) && output.length === 1 ? output[0] : output
  if (name !== undefined && name !== 'last_hidden_state') refuse('method_output_name', output)
}
