/**
 * Tokens that other files add to the vocabulary of tokenizer.json, as transformers adds them: those of
 * `added_tokens_decoder` (tokenizer_config.json) or added_tokens.json, which carry an id, then the special tokens that
 * are named without one. An id that contradicts tokenizer.json is refused; the reference would use an id other than the
 * one in the file.
 */
import path from 'node:path'
import { AddedToken, type Tokenizer } from 'tokenizers'
import { EmbedCoreError } from '../core/errors.js'
import { show } from '../core/show.js'
import { Fields, type JsonValue, LARGEST_INTEGER, readFields } from '../core/json-file.js'

export interface AddedTokenEntry {
  content: string
  /** null = the next free id. */
  id: number | null
  special: boolean
  normalized: boolean
  singleWord: boolean
  leftStrip: boolean
  rightStrip: boolean
  /** The file it came from, for messages. */
  file: string
}

export interface AddedTokens {
  /** By id. */
  numbered: AddedTokenEntry[]
  /**
   * Whether their flags replace those of tokenizer.json. They do not for the older files, because the reference reads
   * tokenizer.json after them.
   */
  overrides: boolean
  /** Special tokens without an id: `bos_token` and the like, `additional_special_tokens`, `extra_special_tokens`. */
  named: AddedTokenEntry[]
  /** The special tokens by role: `eos_token` -> its text. */
  roles: Map<string, string>
}

const LISTS = ['additional_special_tokens', 'extra_special_tokens']

export async function readAddedTokens(directory: string, config: Fields | null): Promise<AddedTokens> {
  const decoder = config?.fields('added_tokens_decoder') ?? null
  // With added_tokens_decoder the reference opens neither of the two older files.
  const map = decoder === null ? await readFields(path.join(directory, 'special_tokens_map.json')) : null
  const older = decoder === null ? await readFields(path.join(directory, 'added_tokens.json')) : null
  const { named, roles } = readNamed([config, map].filter((fields) => fields !== null))
  const special = new Set(named.map(({ content }) => content))
  const numbered = [
    ...(decoder === null ? [] : decoder.keys.map((id) => decoderEntry(decoder, id))),
    ...(older === null ? [] : older.keys.map((content) => olderEntry(older, content, special))),
  ].sort((a, b) => a.id! - b.id!)
  return { numbered, overrides: decoder !== null, named, roles }
}

/** Later files win: special_tokens_map.json over tokenizer_config.json. */
function readNamed(files: Fields[]): { named: AddedTokenEntry[]; roles: Map<string, string> } {
  const byRole = new Map<string, AddedTokenEntry>()
  const others: AddedTokenEntry[] = []
  for (const fields of files) {
    for (const key of fields.keys) {
      const value = fields.raw(key)!
      if (LISTS.includes(key)) others.push(...listedTokens(fields, key, value))
      else if (key.endsWith('_token')) {
        const entry = tokenEntry(fields, key, value)
        if (entry !== null) byRole.set(key, entry)
      }
    }
  }
  const roles = new Map([...byRole].map(([role, { content }]) => [role, content]))
  return { named: [...byRole.values(), ...others], roles }
}

function listedTokens(fields: Fields, key: string, value: JsonValue): AddedTokenEntry[] {
  if (value === null) return []
  if (typeof value !== 'object') return fields.refuse(key, 'a list of tokens')
  return Object.values(value).flatMap((token) => tokenEntry(fields, key, token) ?? [])
}

/** A token as text, or as an object with `content`. Anything else (`add_bos_token: true`) does not name a token. */
function tokenEntry(fields: Fields, key: string, value: JsonValue): AddedTokenEntry | null {
  if (typeof value === 'string') return entry({ content: value, special: true }, fields.file)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
  return objectEntry(Fields.of(value, fields.file, show(key)), true)
}

function objectEntry(token: Fields, alwaysSpecial: boolean): AddedTokenEntry {
  const content = token.text('content', null) ?? token.refuse('content', 'the text of a token')
  const special = alwaysSpecial || token.flag('special', false)
  return {
    ...entry({ content, special }, token.file),
    normalized: token.flag('normalized', !special),
    singleWord: token.flag('single_word', false),
    leftStrip: token.flag('lstrip', false),
    rightStrip: token.flag('rstrip', false),
  }
}

function entry({ content, special }: { content: string; special: boolean }, file: string): AddedTokenEntry {
  return {
    content,
    id: null,
    special,
    normalized: !special,
    singleWord: false,
    leftStrip: false,
    rightStrip: false,
    file,
  }
}

function decoderEntry(decoder: Fields, key: string): AddedTokenEntry {
  const id = Number(key)
  if (!/^\d+$/.test(key) || id > LARGEST_INTEGER) decoder.refuse(key, `an id from 0 to ${LARGEST_INTEGER} as its key`)
  return { ...objectEntry(decoder.fields(key) ?? decoder.refuse(key, 'a token'), false), id }
}

function olderEntry(older: Fields, content: string, special: Set<string>): AddedTokenEntry {
  const id = older.integer(content, null, 0) ?? older.refuse(content, `an id from 0 to ${LARGEST_INTEGER}`)
  return { ...entry({ content, special: special.has(content) }, older.file), id }
}

interface FileToken extends Omit<AddedTokenEntry, 'file'> {
  id: number
}

/** `added_tokens` of tokenizer.json. */
export function fileTokens(json: Fields): FileToken[] {
  const added = json.raw('added_tokens')
  return (Array.isArray(added) ? added : []).flatMap((value) => {
    const token = Fields.of(value, json.file, '"added_tokens"')
    const id = token.integer('id', null, 0)
    const content = token.text('content', null)
    return id === null || content === null ? [] : [{ ...objectEntry(token, false), id }]
  })
}

/** Adds the tokens with an id and checks that each gets it. Returns those that were added or changed. */
export function addNumbered(
  tokenizer: Tokenizer,
  json: Fields,
  { numbered, overrides, named }: AddedTokens,
): AddedTokenEntry[] {
  const known = new Map(fileTokens(json).map((token) => [token.content, token]))
  const special = new Set(named.map(({ content }) => content))
  const changed = numbered
    .filter(({ content }) => content !== '')
    .filter((token) => {
      const own = known.get(token.content)
      return own === undefined || own.id !== token.id || (overrides && !sameFlags(own, token))
    })
    .map((token) => ({ ...token, special: token.special || special.has(token.content) }))
  add(tokenizer, changed)
  for (const { content, id, file } of changed) {
    const has = tokenizer.tokenToId(content)
    if (has === id) continue
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_TOKENIZER_MISMATCH',
      `Expected the id ${id} for the token ${show(content)} (as in ${file}) in ${json.file} but found ${has}`,
    )
  }
  return changed
}

/** Adds the special tokens that are not yet among the added tokens. Returns them. */
export function addNamed(
  tokenizer: Tokenizer,
  json: Fields,
  { numbered, named }: Pick<AddedTokens, 'numbered' | 'named'>,
): AddedTokenEntry[] {
  const known = new Set([...fileTokens(json), ...numbered].map(({ content }) => content))
  const missing = named.filter(({ content }) => {
    if (content === '' || known.has(content)) return false
    known.add(content)
    return true
  })
  add(tokenizer, missing)
  return missing
}

function add(tokenizer: Tokenizer, entries: AddedTokenEntry[]): void {
  if (entries.length === 0) return
  tokenizer.addAddedTokens(
    entries.map(
      ({ content, special, normalized, singleWord, leftStrip, rightStrip }) =>
        new AddedToken(content, special, { normalized, singleWord, leftStrip, rightStrip }),
    ),
  )
}

function sameFlags(a: FileToken, b: AddedTokenEntry): boolean {
  return (
    a.special === b.special &&
    a.normalized === b.normalized &&
    a.singleWord === b.singleWord &&
    a.leftStrip === b.leftStrip &&
    a.rightStrip === b.rightStrip
  )
}
