/**
 * The tokenizer of a model directory, built as transformers and sentence-transformers build it: tokenizer.json (or a
 * BERT vocab.txt), then the settings of tokenizer_config.json and of the model for letter case, accents and Chinese
 * characters, and the tokens that the other files add. Fixed padding and truncation inside tokenizer.json are switched
 * off: truncation is done in tokenizer.ts.
 */
import path from 'node:path'
import { bertNormalizer, lowercase, type Normalizer, sequenceNormalizer, type Tokenizer } from 'tokenizers'
import { EmbedCoreError } from '../core/errors.js'
import { Fields, type JsonValue, LARGEST_INTEGER, readFields, readText } from '../core/json-file.js'
import type { ModelKind, Side } from '../core/names.js'
import { show } from '../core/show.js'
import { type AddedTokenEntry, addNamed, addNumbered, fileTokens, readAddedTokens } from './added-tokens.js'
import { applyPrefixSpace } from './prefix-space.js'
import { applyBeginAndEnd } from './specials.js'
import { fromWhole, LONGEST_TOKENIZER, openTokenizer } from './tokenizer-source.js'

export interface LoadedTokenizer {
  tokenizer: Tokenizer
  /** The file it came from, for messages. */
  file: string
  /** Largest id of vocabulary and added tokens. */
  maxId: number
  /** Ids of special tokens, the unknown token included. */
  specialIds: Set<number>
  /** The token that replaces pieces outside the vocabulary; null = the tokenizer has none. */
  unknownId: number | null
  /** Which end transformers cuts for this tokenizer. */
  truncationSide: Side
  /** Truncation stored in tokenizer.json; only static models obey it. */
  stored: { maxTokens: number; side: Side } | null
}

export interface TokenizerSettings {
  /** Static models take tokenizer.json as it is, as sentence-transformers does for StaticEmbedding. */
  kind: ModelKind
  /** sentence-transformers' `do_lower_case`. */
  lowerCase: boolean | null
}

export async function loadTokenizer(directory: string, settings: TokenizerSettings): Promise<LoadedTokenizer> {
  const config = await readFields(path.join(directory, 'tokenizer_config.json'))
  if (config !== null && settings.kind === 'transformer') refuseOtherTokenizer(config)
  const className = await tokenizerClass(directory, config)
  const bert = settings.kind === 'transformer' && BERT_CLASSES.has(className)
  const file = path.join(directory, 'tokenizer.json')
  let source = file
  let opened = await openTokenizer(file)
  if (opened === null) {
    const vocabulary = bert ? await readText(path.join(directory, 'vocab.txt'), LONGEST_TOKENIZER) : null
    if (vocabulary === null) throw missing(directory)
    source = path.join(directory, 'vocab.txt')
    opened = await fromWhole(await fromVocabulary(directory, vocabulary, source, config), null, source)
  }
  const { tokenizer, json } = opened
  const stored = storedTruncation(json)
  tokenizer.disablePadding()
  tokenizer.disableTruncation()
  const known = ids(json, opened.largestId)
  if (settings.kind === 'transformer') {
    correctNormalizer(tokenizer, json, config, bert, settings.lowerCase === true)
    applyPrefixSpace(tokenizer, json, config, className)
    const tokens = await readAddedTokens(directory, config)
    const numbered = addNumbered(tokenizer, json, tokens)
    note(tokenizer, known, numbered)
    await applyBeginAndEnd({ tokenizer, file: source, maxId: known.maxId, config, className, roles: tokens.roles })
    note(tokenizer, known, addNamed(tokenizer, json, tokens))
  }
  const side = config?.text('truncation_side', null) ?? stored?.side ?? 'right'
  if (side !== 'right' && side !== 'left') return config!.refuse('truncation_side', '"right" or "left"')
  return { tokenizer, file: source, truncationSide: side, stored, unknownId: unknownId(tokenizer, json), ...known }
}

/** Refuses keys that would make another tokenizer out of the files. */
function refuseOtherTokenizer(config: Fields): void {
  const refuse = (key: string, expected: string): never => {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
      `Expected ${expected} for "${key}" in ${config.file} but found ${show(config.raw(key))}`,
    )
  }
  const map = config.raw('auto_map')
  const code = Array.isArray(map) ? map : typeof map === 'object' && map !== null ? map['AutoTokenizer'] : map
  if (code !== undefined && code !== null)
    refuse('auto_map', "no tokenizer code of the model's own (remove the key if tokenizer.json gives the same tokens)")
  if (config.flag('split_special_tokens', false)) refuse('split_special_tokens', 'false')
  const files = config.raw('fast_tokenizer_files')
  if (Array.isArray(files) && files.some((name) => name !== 'tokenizer.json'))
    refuse('fast_tokenizer_files', '"tokenizer.json" alone')
}

/** Updates the largest id and the special ids after tokens were added. */
function note(tokenizer: Tokenizer, known: ReturnType<typeof ids>, added: AddedTokenEntry[]): void {
  for (const { content, special } of added) {
    const id = tokenizer.tokenToId(content)
    if (id === null) continue
    known.maxId = Math.max(known.maxId, id)
    if (special) known.specialIds.add(id)
  }
}

function missing(directory: string): EmbedCoreError {
  const place = JSON.stringify(directory)
  const advice = `make one in Python with AutoTokenizer.from_pretrained(${place}).save_pretrained(${place})`
  return new EmbedCoreError('ERR_EMBEDCORE_NOT_FOUND', `No tokenizer.json in ${directory}; ${advice}`)
}

/**
 * Classes whose normalizer in tokenizer.json is replaced in transformers by one made from do_lower_case, strip_accents
 * and tokenize_chinese_chars.
 */
const BERT_CLASSES = new Set(
  [
    'Bert',
    'ConvBert',
    'DistilBert',
    'Electra',
    'LayoutLM',
    'Lxmert',
    'MobileBert',
    'MPNet',
    'RetriBert',
    'SqueezeBert',
  ].map((name) => `${name}Tokenizer`),
)

/** Model types whose tokenizer is Llama's when the files name no class. */
const LLAMA_MODEL_TYPES = new Set(['llama', 'mistral'])

/**
 * Model types that use BertTokenizer when the files name no class; for mpnet it is MPNetTokenizer, with the same
 * effect.
 */
const BERT_MODEL_TYPES = new Set([
  'bert',
  'convbert',
  'distilbert',
  'electra',
  'ernie',
  'layoutlm',
  'lxmert',
  'megatron-bert',
  'mobilebert',
  'mpnet',
  'nezha',
  'nomic_bert',
  'qdqbert',
  'realm',
  'retribert',
  'squeezebert',
])

async function tokenizerClass(directory: string, config: Fields | null): Promise<string> {
  const model = await readFields(path.join(directory, 'config.json'))
  const named = config?.text('tokenizer_class', null) ?? model?.text('tokenizer_class', null) ?? null
  if (named !== null) return named.replace(/Fast$/, '')
  const type = model?.text('model_type', '') ?? ''
  if (LLAMA_MODEL_TYPES.has(type)) return 'LlamaTokenizer'
  if (type === 'roberta') return 'RobertaTokenizer'
  return BERT_MODEL_TYPES.has(type) ? 'BertTokenizer' : ''
}

function correctNormalizer(
  tokenizer: Tokenizer,
  json: Fields,
  config: Fields | null,
  bert: boolean,
  lowerCase: boolean,
): void {
  if (bert && (json.fields('model')?.text('type', 'WordPiece') ?? 'WordPiece') === 'WordPiece') {
    warnOfReplacement(json)
    tokenizer.setNormalizer(bertNormalizerOf(config))
  }
  const current = tokenizer.getNormalizer()
  // sentence-transformers looks for a Lowercase step only, so one is put before a BertNormalizer that lowercases too.
  // Both agree then.
  if (lowerCase && !hasLowercase(json, bert))
    tokenizer.setNormalizer(current === null ? lowercase() : sequenceNormalizer([lowercase(), current]))
}

/**
 * transformers 4 keeps a normalizer that is not a BertNormalizer, 5 replaces it, so the author of the file may expect
 * the former.
 */
function warnOfReplacement(json: Fields): void {
  const type = json.fields('normalizer')?.raw('type')
  if (type === undefined || type === 'BertNormalizer') return
  process.emitWarning(
    `The normalizer ${show(type)} in ${json.file} is replaced by the one of BERT, as transformers 5 does for a BERT ` +
      'tokenizer. If the model was trained with the one in the file, set "tokenizer_class" in tokenizer_config.json ' +
      'to "PreTrainedTokenizerFast".',
    { code: 'EMBEDCORE_NORMALIZER_REPLACED' },
  )
}

function bertNormalizerOf(config: Fields | null): Normalizer {
  const lower = config?.flag('do_lower_case', true) ?? true
  return bertNormalizer({
    cleanText: true,
    handleChineseChars: config?.flag('tokenize_chinese_chars', true) ?? true,
    // BERT's own rule: by default, accents are removed when letters are lowered.
    stripAccents: config?.flag('strip_accents', lower) ?? lower,
    lowercase: lower,
  })
}

function hasLowercase(json: Fields, replaced: boolean): boolean {
  const normalizer = json.fields('normalizer')
  if (replaced || normalizer === null) return false
  const steps = normalizer.raw('normalizers')
  const types = Array.isArray(steps)
    ? steps.map((step) => (typeof step === 'object' && step !== null && !Array.isArray(step) ? step.type : undefined))
    : []
  return (
    normalizer.raw('type') === 'Lowercase' || (normalizer.raw('type') === 'Sequence' && types.includes('Lowercase'))
  )
}

function storedTruncation(json: Fields): LoadedTokenizer['stored'] {
  const truncation = json.fields('truncation')
  if (truncation === null) return null
  const maxTokens = truncation.number('max_length', null)
  // Some files use a huge number for "none".
  if (maxTokens === null || maxTokens > LARGEST_INTEGER) return null
  return {
    maxTokens: truncation.requiredInteger('max_length'),
    side: truncation.text('direction', 'Right').toLowerCase() === 'left' ? 'left' : 'right',
  }
}

/** Unigram models give its id, the others its text. */
function unknownId(tokenizer: Tokenizer, json: Fields): number | null {
  const model = json.fields('model')
  const [id, token] = [model?.raw('unk_id'), model?.raw('unk_token')]
  if (typeof id === 'number') return id
  return typeof token === 'string' ? tokenizer.tokenToId(token) : null
}

/** `maxId`: the largest of the vocabulary. */
function ids(json: Fields, maxId: number): { maxId: number; specialIds: Set<number> } {
  const specialIds = new Set<number>()
  for (const { id, special } of fileTokens(json)) {
    if (id > maxId) maxId = id
    if (special) specialIds.add(id)
  }
  // Ids are int32 from here on; the library itself would take uint32.
  if (maxId > LARGEST_INTEGER)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_FILE',
      `${json.file} holds the token id ${maxId}, more than ${LARGEST_INTEGER}`,
    )
  return { maxId, specialIds }
}

/**
 * The tokenizer.json of a BERT vocab.txt, as BertTokenizer would write it; its normalizer is set in the same place as
 * that of other tokenizers.
 */
async function fromVocabulary(
  directory: string,
  text: string,
  file: string,
  config: Fields | null,
): Promise<{ [key: string]: JsonValue }> {
  const lines = text.split(/\r\n|\r|\n/)
  if (lines.at(-1) === '') lines.pop()
  // Entries, not assignments: a token may be called "__proto__". Of two equal lines the later one counts, as in
  // transformers.
  const vocab: { [token: string]: JsonValue } = Object.fromEntries(lines.map((token, id) => [token, id]))
  const map = await readFields(path.join(directory, 'special_tokens_map.json'))
  const special = (role: string, usual: string) => tokenText(map, role) ?? tokenText(config, role) ?? usual
  const roles = {
    unk: special('unk_token', '[UNK]'),
    cls: special('cls_token', '[CLS]'),
    sep: special('sep_token', '[SEP]'),
    pad: special('pad_token', '[PAD]'),
    mask: special('mask_token', '[MASK]'),
  }
  for (const token of [roles.unk, roles.cls, roles.sep]) {
    if (!Object.hasOwn(vocab, token))
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_FILE',
        `${file} does not hold the special token ${JSON.stringify(token)}`,
      )
  }
  const present = [...new Set(Object.values(roles))].filter((token) => Object.hasOwn(vocab, token))
  const step = (token: string) => ({ SpecialToken: { id: token, type_id: 0 } })
  const known = (token: string): { [key: string]: JsonValue } => ({ id: token, ids: [vocab[token]!], tokens: [token] })
  const single = [step(roles.cls), { Sequence: { id: 'A', type_id: 0 } }, step(roles.sep)]
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    normalizer: null,
    added_tokens: present.map((content) => ({
      id: vocab[content]!,
      content,
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    })),
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single,
      pair: [...single, { Sequence: { id: 'B', type_id: 1 } }, step(roles.sep)],
      special_tokens: { [roles.cls]: known(roles.cls), [roles.sep]: known(roles.sep) },
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: roles.unk,
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab,
    },
  }
}

/** A special token is written as a string or as an object with `content`. */
function tokenText(fields: Fields | null, role: string): string | null {
  const value = fields?.raw(role)
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return fields!.fields(role)!.text('content', null)
  return fields?.text(role, null) ?? null
}
