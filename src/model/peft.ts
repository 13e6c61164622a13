/**
 * A LoRA adapter as PEFT saves it: adapter_config.json and adapter_model.safetensors. A key of the configuration that
 * would change vectors and is not supported is refused by name, and so is a tensor that has no place here.
 */
import path from 'node:path'
import type { RawLowRank } from '../core/binding.js'
import { EmbedCoreError } from '../core/errors.js'
import { type Fields, type JsonValue, readFields } from '../core/json-file.js'
import { readSafetensorsHeader, type TensorHeader } from '../core/safetensors-header.js'
import { reason, show } from '../core/show.js'

export const ADAPTER_CONFIG = 'adapter_config.json'
export const ADAPTER_WEIGHTS = 'adapter_model.safetensors'

/** What adapter_config.json says. */
export interface PeftConfig {
  file: string
  /** A path, or an id of the hub. */
  base: string | null
  revision: string | null
  rank: number
  alpha: number
  dropout: number
  rslora: boolean
  rankPattern: Record<string, number>
  alphaPattern: Record<string, number>
  /** Ends of names, or a regular expression; null = not said. */
  targets: string | string[] | null
}

export interface PeftAdapter {
  directory: string
  config: PeftConfig
  /** In the order of the model's matrices. */
  updates: RawLowRank[]
}

/** Keys without effect on what a saved adapter computes. */
const NO_EFFECT = new Set([
  'auto_mapping',
  'base_model_name_or_path',
  'ensure_weight_tying',
  'eva_config',
  'exclude_modules',
  'fan_in_fan_out', // PEFT itself goes by the kind of the layer.
  'inference_mode',
  'layers_pattern',
  'layers_to_transform',
  'loftq_config',
  'lora_ga_config',
  'megatron_core',
  'peft_type',
  'peft_version',
  'qalora_group_size', // of use_qalora
  'revision',
  'runtime_config',
  'target_modules',
  'task_type',
])
const READ = new Set(['alpha_pattern', 'bias', 'init_lora_weights', 'lora_alpha', 'lora_dropout', 'modules_to_save'])
for (const key of ['r', 'rank_pattern', 'use_rslora']) READ.add(key)
/** Ways to begin that leave the base model as it is. */
const PLAIN_BEGINNINGS: readonly JsonValue[] = [true, false, 'gaussian', 'eva', 'orthogonal']

/** Parts of a model that are not read for embeddings, so that their updates change nothing. */
const UNREAD = /(?:^|\.)(?:pooler|lm_head|classifier|score|cls|vocab_transform|vocab_projector|pre_classifier)(?:\.|$)/

/**
 * null = the directory has no adapter_config.json.
 * @throws ERR_EMBEDCORE_UNSUPPORTED_MODEL for another kind of adapter, _INVALID_CONFIG, _INVALID_FILE
 */
export async function readPeftConfig(directory: string): Promise<PeftConfig | null> {
  const fields = await readFields(path.join(directory, ADAPTER_CONFIG))
  if (fields === null) return null
  if (fields.raw('peft_type') !== 'LORA') throw unsupported(fields, 'peft_type', "'LORA'")
  for (const key of fields.keys)
    if (!NO_EFFECT.has(key) && !READ.has(key) && isSet(fields.raw(key)!)) throw unsupported(fields, key, 'nothing')
  if (fields.text('bias', 'none') !== 'none') throw unsupported(fields, 'bias', "'none'")
  // Heads of transformers are not read here, with or without an adapter.
  const saved = fields.raw('modules_to_save') ?? null
  if (isSet(saved) && !(Array.isArray(saved) && saved.every((name) => typeof name === 'string' && UNREAD.test(name))))
    throw unsupported(fields, 'modules_to_save', 'nothing')
  const begun = fields.raw('init_lora_weights') ?? true
  if (!PLAIN_BEGINNINGS.includes(begun))
    throw unsupported(fields, 'init_lora_weights', PLAIN_BEGINNINGS.map((value) => show(value)).join(', '))
  const alpha = fields.number('lora_alpha', 8)
  if (!(alpha > 0)) fields.refuse('lora_alpha', 'a number above 0')
  const dropout = fields.number('lora_dropout', 0)
  if (!(dropout >= 0 && dropout < 1)) fields.refuse('lora_dropout', 'a number from 0 to below 1')
  return {
    file: fields.file,
    base: fields.text('base_model_name_or_path', null),
    revision: fields.text('revision', null),
    rank: fields.integer('r', 8),
    alpha,
    dropout,
    rslora: fields.flag('use_rslora', false),
    rankPattern: patterns(fields, 'rank_pattern', 'integers from 1', (value) => Number.isInteger(value) && value >= 1),
    alphaPattern: patterns(fields, 'alpha_pattern', 'numbers above 0', (value) => value > 0),
    targets: targetsOf(fields),
  }
}

/**
 * The adapter in a directory. `matrices`: those of the model's layers, by the names of their modules.
 * @throws ERR_EMBEDCORE_NOT_FOUND, _INVALID_CONFIG, _INVALID_FILE, _UNSUPPORTED_MODEL, _MISSING_TENSOR, _SHAPE_MISMATCH
 */
export async function readPeftAdapter(directory: string, matrices: readonly string[]): Promise<PeftAdapter> {
  const root = path.resolve(directory)
  const config = await readPeftConfig(root)
  if (config === null)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_NOT_FOUND',
      `Expected ${ADAPTER_CONFIG} of a PEFT adapter in ${root} but found none`,
    )
  const file = path.join(root, ADAPTER_WEIGHTS)
  const tensors = await readSafetensorsHeader(file)
  const found = new Map<string, RawLowRank>()
  for (const [name, { shape }] of tensors) {
    const module = /^(.+)\.lora_([AB])\.weight$/.exec(name)
    if (module === null) {
      if (UNREAD.test(name)) continue
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
        `Expected lora_A.weight and lora_B.weight of matrices in ${file} but found the tensor ${show(name)}`,
      )
    }
    if (module[2] === 'B') continue
    const own = moduleOf(module[1]!, matrices)
    if (own === null) {
      if (UNREAD.test(module[1]!)) continue
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_MISSING_TENSOR',
        `Expected updates of matrices that the model has in ${file} but found one of ${show(module[1]!)}`,
      )
    }
    const b = `${module[1]!}.lora_B.weight`
    found.set(own, { module: own, a: name, b, ...ranked(own, shape, config, name) })
    checkPair(tensors, b, file)
  }
  if (found.size === 0)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_FILE',
      `Expected updates of the model's matrices in ${file} but found none`,
    )
  return { directory: root, config, updates: matrices.flatMap((name) => found.get(name) ?? []) }
}

function checkPair(tensors: ReadonlyMap<string, TensorHeader>, b: string, file: string): void {
  if (!tensors.has(b))
    throw new EmbedCoreError('ERR_EMBEDCORE_MISSING_TENSOR', `Expected the tensor ${show(b)} in ${file} but found none`)
}

/** PEFT puts `base_model.model.` before the name, and the model's class may add its own (`bert.`). */
function moduleOf(name: string, matrices: readonly string[]): string | null {
  return matrices.find((matrix) => name === matrix || name.endsWith(`.${matrix}`)) ?? null
}

function ranked(
  module: string,
  [rows]: readonly number[],
  config: PeftConfig,
  tensor: string,
): { rank: number; scale: number } {
  const rank = byPattern(module, config.rankPattern) ?? config.rank
  if (rows !== rank)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_SHAPE_MISMATCH',
      `Expected ${rank} rows, the rank that ${config.file} gives, for the tensor ${show(tensor)} but found ` +
        show(rows),
    )
  const alpha = byPattern(module, config.alphaPattern) ?? config.alpha
  return { rank, scale: alpha / (config.rslora ? Math.sqrt(rank) : rank) }
}

/** As PEFT: the first expression that matches the end of the name. */
export function byPattern(module: string, patterns: Readonly<Record<string, number>>): number | null {
  const found = Object.entries(patterns).find(([expression]) => matchesEnd(module, expression))
  return found === undefined ? null : found[1]
}

export function matchesEnd(module: string, expression: string): boolean {
  return new RegExp(`^(?:.*\\.)?(?:${expression})$`).test(module)
}

function isSet(value: JsonValue): boolean {
  if (value === null || value === false) return false
  return typeof value !== 'object' || (Array.isArray(value) ? value.length > 0 : Object.keys(value).length > 0)
}

function unsupported(fields: Fields, key: string, expected: string): EmbedCoreError {
  return new EmbedCoreError(
    'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
    `Expected ${expected} for "${key}" in ${fields.file} but found ${show(fields.raw(key))}: such an adapter is not ` +
      'supported. Merge it in Python with peft (model.merge_and_unload(), then save_pretrained) and load the result',
  )
}

function patterns(
  fields: Fields,
  key: string,
  expected: string,
  accepts: (value: number) => boolean,
): Record<string, number> {
  const given = fields.fields(key)
  if (given === null) return {}
  for (const [expression, value] of Object.entries(given.all)) {
    if (typeof value !== 'number' || !accepts(value)) fields.refuse(key, `${expected} by ends of names`)
    try {
      new RegExp(expression)
    } catch (error) {
      fields.refuse(key, `regular expressions (${reason(error)})`)
    }
  }
  return given.all as Record<string, number>
}

function targetsOf(fields: Fields): string | string[] | null {
  const given = fields.raw('target_modules') ?? null
  if (given === null || typeof given === 'string') return given
  if (Array.isArray(given) && given.every((name) => typeof name === 'string')) return given
  return fields.refuse('target_modules', 'a text or a list of texts')
}
