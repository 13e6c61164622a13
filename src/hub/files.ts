/**
 * The files of a repository that an encoder needs: settings, tokenizer and safetensors of the folders that modules.json
 * names, or of the root. Weights in other formats are never downloaded; a repository that has only those is refused
 * before any download.
 */
import { EmbedCoreError } from '../core/errors.js'
import type { JsonValue } from '../core/json-file.js'
import { isPlainRelativePath, OWN_TRANSFORMER, parseModuleList } from '../core/module-list.js'
import { show } from '../core/show.js'

export interface FilePlan {
  /** Settings and tokenizers. */
  readonly small: string[]
  /** Downloaded last, so that a snapshot that has them is complete. */
  readonly weights: string[]
  /** Files whose absence has a meaning, so it must be known and not inferred from an unfinished snapshot. */
  readonly deciding: string[]
}

const ROOT_FILES: readonly RegExp[] = [
  /^(?:config|modules|config_sentence_transformers|embedcore|sentence_[\w-]+_config)\.json$/,
  /^(?:tokenizer(?:_\w+)?|special_tokens_map|added_tokens|vocab)\.json$/,
  /^(?:vocab|merges)\.txt$/,
]
const MODULE_FILE = /\.json$|^(?:vocab|merges)\.txt$/
const SINGLE = 'model.safetensors'
const INDEX = 'model.safetensors.index.json'
const OTHER_WEIGHTS = /\.(?:bin|pt|pth|ckpt|h5|msgpack|onnx|gguf|safetensors)$/
const NOT_MODEL_WEIGHTS = /^(?:training_args|optimizer|scheduler|rng_state.*|scaler)\./
const KINDS_WITHOUT_WEIGHTS = ['Pooling', 'Normalize', 'Dropout']

/** `readJson` is called only with names from `paths`. */
export async function planFiles(
  repository: string,
  paths: ReadonlySet<string>,
  readJson: (path: string) => Promise<JsonValue>,
): Promise<FilePlan> {
  const modules = paths.has('modules.json')
    ? parseModuleList(await readJson('modules.json'), `modules.json of the hub repository "${repository}"`)
    : [{ path: '', kind: 'Transformer' }]
  const first = modules[0]!
  const adapter = inside(first.path, 'adapter_config.json')
  if (paths.has(adapter)) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
      `Expected a model without an adapter but found ${adapter} in the hub repository "${repository}": adapters are ` +
        'read from directories. Download it (hf download) and load its base model with the option adapter',
    )
  }
  if (
    (first.kind === 'Transformer' || first.kind === OWN_TRANSFORMER) &&
    !paths.has(inside(first.path, 'config.json'))
  ) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
      `Expected ${inside(first.path, 'config.json')}${paths.has('modules.json') ? '' : ' or modules.json'} ` +
        `for an encoder in the hub repository "${repository}" but found none`,
    )
  }
  const small = new Set<string>([...paths].filter((path) => ROOT_FILES.some((form) => form.test(path))))
  const weights = new Set<string>()
  const deciding = new Set<string>(['modules.json', inside(first.path, 'tokenizer.json')])
  for (const [at, module] of modules.entries()) {
    const here = filesIn(module.path, paths)
    if (module.path !== '')
      for (const name of here) if (MODULE_FILE.test(name) && name !== INDEX) small.add(inside(module.path, name))
    if (here.has(SINGLE)) {
      weights.add(inside(module.path, SINGLE))
    } else if (here.has(INDEX)) {
      small.add(inside(module.path, INDEX))
      for (const shard of await shardsOf(repository, module.path, paths, readJson)) weights.add(shard)
    } else {
      const others = [...here].filter((name) => OTHER_WEIGHTS.test(name) && !NOT_MODEL_WEIGHTS.test(name))
      if (at === 0 || others.length > 0) throw noSafetensors(repository, module.path, others)
    }
    if (at > 0 && module.kind !== 'Normalize') deciding.add(inside(module.path, 'config.json'))
    if (at > 0 && !KINDS_WITHOUT_WEIGHTS.includes(module.kind)) deciding.add(inside(module.path, SINGLE))
  }
  return { small: [...small], weights: [...weights], deciding: [...deciding] }
}

function inside(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`
}

/** Names directly in a folder. */
function filesIn(folder: string, paths: ReadonlySet<string>): Set<string> {
  const prefix = inside(folder, '')
  const names = [...paths].filter((path) => path.startsWith(prefix)).map((path) => path.slice(prefix.length))
  return new Set(names.filter((name) => !name.includes('/')))
}

async function shardsOf(
  repository: string,
  folder: string,
  paths: ReadonlySet<string>,
  readJson: (path: string) => Promise<JsonValue>,
): Promise<Set<string>> {
  const index = inside(folder, INDEX)
  const bad = (expected: string, found: string): EmbedCoreError =>
    new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_FILE',
      `Expected ${expected} in ${index} of the hub repository "${repository}" but found ${found}`,
    )
  const json = await readJson(index)
  const map = (typeof json === 'object' && json !== null ? json : {}) as { weight_map?: unknown }
  if (typeof map.weight_map !== 'object' || map.weight_map === null)
    throw bad('an object for "weight_map"', show(map.weight_map))
  const names = new Set<unknown>(Object.values(map.weight_map))
  if (names.size === 0) throw bad('files in "weight_map"', 'none')
  const shards = new Set<string>()
  for (const name of names) {
    if (!isPlainRelativePath(name) || name.includes('/')) throw bad('plain file names in "weight_map"', show(name))
    if (!paths.has(inside(folder, name))) throw bad('files of the repository in "weight_map"', show(name))
    shards.add(inside(folder, name))
  }
  return shards
}

function noSafetensors(repository: string, folder: string, others: string[]): EmbedCoreError {
  const has =
    others.length === 0
      ? 'no weights'
      : `${others.slice(0, 4).join(', ')}, which are not read: save the model again with safe_serialization, ` +
        'or see whether a revision refs/pr/… of the repository holds the conversion'
  return new EmbedCoreError(
    'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
    `Expected ${inside(folder, SINGLE)} or ${inside(folder, INDEX)} in the hub repository "${repository}" ` +
      `but found ${has}`,
  )
}
