/**
 * A [CLS] token for a decoder: a special token with a row of its own in the table of embeddings. Its tokenizer puts it
 * where it sees the whole text: first where attention is bidirectional, last under a causal mask.
 */
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { AddedToken } from 'tokenizers'
import { Fields, type JsonValue, parseJson, readFields } from '../core/json-file.js'
import { invalidOption } from '../core/options.js'
import type { RawParameter } from '../core/training-binding.js'
import type { PoolingMode } from '../core/names.js'
import type { ModelDescription } from '../model/directory.js'
import { exists } from '../model/modules.js'
import { type SpecialsAround, specialsAround } from '../model/specials.js'
import { TextTokenizer } from '../model/tokenizer.js'
import { type LoadedTokenizer, loadTokenizer } from '../model/tokenizer-files.js'
import type { PlannedAttention } from './attention.js'
import type { TrainedParts } from './method.js'
import type { ResolvedTrain } from './options.js'

export interface ClsToken {
  text: string
  id: number
  /** Whether it is the first token of a text; otherwise it is the last. */
  first: boolean
  /** Whether it is new; otherwise the model has it, and its row is trained further. */
  fresh: boolean
  /** Files of its tokenizer in place of the model's, by name. */
  files: ReadonlyMap<string, string>
}

/**
 * The token that the options ask for; null = none.
 * @throws ERR_EMBEDCORE_INVALID_OPTION for a model, method or pooling that it does not go with
 */
export async function planClsToken(
  options: ResolvedTrain,
  { directory }: ModelDescription,
  { decoder, bidirectional: first }: PlannedAttention,
): Promise<ClsToken | null> {
  const { clsToken: text, method, merge, pooling, tmpDir } = options
  if (text === null) return null
  if (!decoder) throw invalidOption('clsToken', 'nothing for an encoder, whose tokenizer has its own,', text)
  if (method.type === 'lora' && !merge)
    throw invalidOption('merge', "true for method 'lora' beside clsToken, whose row no adapter of PEFT holds,", merge)
  const other = first ? 'lasttoken' : 'cls'
  if (pooling?.includes(other) === true)
    throw invalidOption(
      'pooling',
      `anything but '${other}' beside clsToken, which is the ${first ? 'first' : 'last'} token of a text here,`,
      pooling,
    )
  const loaded = await loadTokenizer(directory, { kind: 'transformer', lowerCase: null })
  const around = await specialsAround(loaded)
  const known = loaded.tokenizer.tokenToId(text)
  if (known === null) return newToken(directory, loaded, around, { text, first, tmpDir })
  if (known !== (first ? around.before[0] : around.after.at(-1)))
    throw invalidOption(
      'clsToken',
      `a text that the model has no token for, or a token that its tokenizer puts ${first ? 'first' : 'last'},`,
      text,
    )
  return { text, id: known, first, fresh: false, files: new Map() }
}

/** The pooling that reads the token. */
export const clsPooling = ({ first }: ClsToken): PoolingMode[] => [first ? 'cls' : 'lasttoken']

/** The parts with the token's row. Where the whole table is trained, it is one row longer. */
export function withTokenRow(
  parts: TrainedParts,
  parameters: readonly RawParameter[],
  cls: ClsToken | null,
): TrainedParts {
  if (cls === null) return parts
  const { name, shape } = parameters[0]!
  const [rows, width] = shape as [number, number]
  const added = Math.max(0, cls.id + 1 - rows) * width
  const whole = parts.trains === null || parts.trains.includes(name)
  return { ...parts, parameters: parts.parameters + added, trained: parts.trained + (whole ? added : width) }
}

/** The model's tokenizer, with the token. */
export async function tokenizerWith(
  { directory, kind, lowerCase, maxTokens }: ModelDescription,
  cls: ClsToken | null,
  tmpDir: string | null,
): Promise<TextTokenizer> {
  const settings = { kind, lowerCase, maxTokens }
  if (cls === null || cls.files.size === 0) return TextTokenizer.load(directory, settings)
  return inTemporary(tmpDir, async (folder) => {
    for (const name of ['special_tokens_map.json', 'added_tokens.json'])
      if (await exists(path.join(directory, name))) await copyFile(path.join(directory, name), path.join(folder, name))
    for (const [name, content] of cls.files) await writeFile(path.join(folder, name), content)
    return TextTokenizer.load(folder, settings)
  })
}

async function inTemporary<T>(tmpDir: string | null, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(path.join(tmpDir ?? tmpdir(), 'embedcore-tokenizer-'))
  try {
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function newToken(
  directory: string,
  { tokenizer }: LoadedTokenizer,
  around: SpecialsAround,
  { text, first, tmpDir }: { text: string; first: boolean; tmpDir: string | null },
): Promise<ClsToken> {
  tokenizer.addAddedTokens([new AddedToken(text, true, { normalized: false })])
  const id = tokenizer.tokenToId(text)!
  const named = (ids: readonly number[]): Named[] => ids.map((one) => ({ text: tokenizer.idToToken(one)!, id: one }))
  const [before, after, own] = [named(around.before), named(around.after), { text, id }]
  const json = await inTemporary(tmpDir, async (folder) => {
    const file = path.join(folder, 'tokenizer.json')
    tokenizer.save(file)
    return Fields.of(parseJson(await readFile(file, 'utf8'), file), file)
  })
  const template = first ? templateOf([own, ...before], after) : templateOf(before, [...after, own])
  const files = new Map([
    ['tokenizer.json', JSON.stringify({ ...json.all, post_processor: withTemplate(json, template) })],
    ['tokenizer_config.json', await configWith(directory, own, first)],
  ])
  return { text, id, first, fresh: true, files }
}

interface Named {
  text: string
  id: number
}

/** Processors of the library that put special tokens around a text. */
const AROUND: readonly unknown[] = ['TemplateProcessing', 'BertProcessing', 'RobertaProcessing']

function withTemplate(json: Fields, template: JsonValue): JsonValue {
  const own = json.fields('post_processor')
  const steps = own?.raw('type') === 'Sequence' ? own.raw('processors') : own?.all
  const others = (Array.isArray(steps) ? steps : steps === undefined ? [] : [steps as JsonValue]).filter(
    (step) => !AROUND.includes(Fields.of(step, json.file, '"post_processor"').raw('type')),
  )
  return others.length === 0 ? template : { type: 'Sequence', processors: [...others, template] }
}

function templateOf(before: readonly Named[], after: readonly Named[]): JsonValue {
  const special = ({ text }: Named, typeId: number): JsonValue => ({ SpecialToken: { id: text, type_id: typeId } })
  const single = [
    ...before.map((token) => special(token, 0)),
    { Sequence: { id: 'A', type_id: 0 } },
    ...after.map((token) => special(token, 0)),
  ]
  return {
    type: 'TemplateProcessing',
    single,
    pair: [...single, { Sequence: { id: 'B', type_id: 1 } }, ...after.map((token) => special(token, 1))],
    special_tokens: Object.fromEntries(
      [...before, ...after].map(({ text, id }) => [text, { id: text, ids: [id], tokens: [text] }]),
    ),
  }
}

/**
 * tokenizer_config.json for the class that takes tokenizer.json as it is: others make a template of their own from
 * add_bos_token and add_eos_token, which are in this one already.
 */
async function configWith(directory: string, { text, id }: Named, first: boolean): Promise<string> {
  const given = await readFields(path.join(directory, 'tokenizer_config.json'))
  const config: Record<string, JsonValue> = { ...given?.all }
  delete config['add_bos_token']
  delete config['add_eos_token']
  config['tokenizer_class'] = 'PreTrainedTokenizerFast'
  config['cls_token'] = text
  // Padding before the text would be what some versions of the pooling 'cls' take.
  if (first) config['padding_side'] = 'right'
  const decoder = given?.fields('added_tokens_decoder') ?? null
  if (decoder !== null) {
    const flags = { lstrip: false, normalized: false, rstrip: false, single_word: false, special: true }
    config['added_tokens_decoder'] = { ...decoder.all, [id]: { content: text, ...flags } }
  }
  return `${JSON.stringify(config, null, 2)}\n`
}
