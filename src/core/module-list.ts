/**
 * modules.json of sentence-transformers: the modules that a model is made of, in order. Read here for directories and
 * for repositories of the hub alike.
 */
import { EmbedCoreError } from './errors.js'
import { Fields, type JsonValue } from './json-file.js'
import { show } from './show.js'

/** The type of a transformer with settings that only this package reads (model/own-layout.ts). */
export const OWN_TRANSFORMER = 'embedcore.Transformer'

export interface ListedModule {
  /** The type as written, for messages. */
  type: string
  /** Its last segment: `sentence_transformers.models.Pooling` and `…modules.pooling.Pooling` are both `Pooling`. */
  kind: string
  /** Its folder inside the model, with slashes; '' = the model's own. */
  path: string
}

/** The modules by idx. `file` names the file in errors. */
export function parseModuleList(list: JsonValue, file: string): ListedModule[] {
  if (!Array.isArray(list))
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', `Expected a JSON list in ${file} but found ${show(list)}`)
  if (list.length === 0) throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_CONFIG', `${file} lists no module`)
  const entries = list.map((value, position) => {
    const fields = Fields.of(value, file, `module ${position}`)
    const type = fields.text('type', null) ?? fields.refuse('type', 'the name of a module class')
    return {
      idx: fields.integer('idx', position, 0),
      entry: { type, kind: moduleKind(type), path: modulePath(fields) },
    }
  })
  entries.sort((a, b) => a.idx - b.idx)
  return entries.map(({ entry }) => entry)
}

/**
 * Only the library's own classes are known by their name; a class from the model's own code may do anything, so its
 * full name is kept and refused later.
 */
function moduleKind(type: string): string {
  const last = type.slice(type.lastIndexOf('.') + 1)
  if (last.endsWith('StaticEmbedding')) return 'StaticEmbedding'
  return type === last || type.startsWith('sentence_transformers.') ? last : type
}

function modulePath(fields: Fields): string {
  const given = fields.text('path', '')
  const parts = given.split('/').filter((part) => part !== '' && part !== '.')
  const path = parts.join('/')
  if (given.startsWith('/') || (path !== '' && !isPlainRelativePath(path)))
    fields.refuse('path', 'a folder inside the model directory')
  return path
}

/** Whether a name from elsewhere may be joined to a directory, on any operating system. */
export function isPlainRelativePath(path: unknown): path is string {
  return (
    typeof path === 'string' &&
    path.length <= 1024 &&
    // eslint-disable-next-line no-control-regex
    !/[\\\x00-\x1f\x7f]/.test(path) &&
    path.split('/').every((part) => part !== '' && part !== '.' && part !== '..' && !/^[a-zA-Z]:/.test(part))
  )
}
