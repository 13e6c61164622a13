/**
 * What the layout of sentence-transformers cannot say of a transformer: `embedcore.json` beside its config.json. The
 * type of its module is `embedcore.Transformer`, which other libraries refuse to load, so that nobody reads such a
 * directory without this file. Documented in docs/training.md.
 */
import path from 'node:path'
import { EmbedCoreError } from '../core/errors.js'
import { type Fields, readFields } from '../core/json-file.js'
import { OWN_TRANSFORMER } from '../core/module-list.js'
import { type AttentionMode, ATTENTIONS } from '../core/names.js'
import { show } from '../core/show.js'

export const OWN_LAYOUT_FILE = 'embedcore.json'
const FORMAT = 1

/** Masks that a model may have in itself. */
export type ModelAttention = Exclude<AttentionMode, 'prefix'>
const MODEL_ATTENTIONS: readonly unknown[] = ATTENTIONS.filter((mode) => mode !== 'prefix')

export interface OwnLayout {
  /** One for all layers, or one for each. */
  attention: ModelAttention[]
}

export const ownLayoutText = ({ attention }: OwnLayout): string =>
  `${JSON.stringify({ format: FORMAT, attention }, null, 2)}\n`

/**
 * The file in the directory of an `embedcore.Transformer`.
 * @throws ERR_EMBEDCORE_NOT_FOUND, _INVALID_FILE, _INVALID_CONFIG; _UNSUPPORTED_MODEL for another format or key
 */
export async function readOwnLayout(directory: string): Promise<OwnLayout> {
  const fields = await readFields(path.join(directory, OWN_LAYOUT_FILE))
  if (fields === null)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_NOT_FOUND',
      `Expected ${OWN_LAYOUT_FILE} of the module ${OWN_TRANSFORMER} in ${directory} but found none`,
    )
  if (fields.requiredInteger('format') !== FORMAT) throw newer(fields, 'format', show(FORMAT))
  for (const key of fields.keys) if (!['format', 'attention'].includes(key)) throw newer(fields, key, 'nothing')
  const attention = fields.raw('attention')
  if (
    !Array.isArray(attention) ||
    attention.length === 0 ||
    !attention.every((mode) => MODEL_ATTENTIONS.includes(mode))
  )
    return fields.refuse('attention', "a list of 'causal' and 'bidirectional', one for all layers or one for each")
  return { attention: attention as ModelAttention[] }
}

function newer(fields: Fields, key: string, expected: string): EmbedCoreError {
  return new EmbedCoreError(
    'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
    `Expected ${expected} for "${key}" in ${fields.file} but found ${show(fields.raw(key))}: a newer version of ` +
      'embedcore may read it',
  )
}
