/**
 * Which files of a repository an encoder needs: settings, tokenizer and safetensors of the folders that modules.json
 * names, or of the root. Never the same weights in another format; a repository that has only those is refused before
 * any download.
 */
import { EmbedCoreError } from '../errors.js'
import { isPlainRelativePath } from './cache.js'

export interface FilePlan {
  /** Settings and tokenizers. */
  readonly small: string[]
  /** To be fetched last: a snapshot that has them has the rest. */
  readonly weights: string[]
  /** Files whose absence means something, so that it must be known and not guessed from an unfinished snapshot. */
  readonly deciding: string[]
}

interface Module {
  readonly path: string
  readonly kind: string
}

const ROOT_FILE =
  /^(?:config|modules|config_sentence_transformers|sentence_[\w-]+_config|tokenizer(?:_\w+)?|special_tokens_map|added_tokens|vocab)\.json$|^(?:vocab|merges)\.txt$/
const MODULE_FILE = /\.json$|^(?:vocab|merges)\.txt$/
const SINGLE = 'model.safetensors'
const INDEX = 'model.safetensors.index.json'
const OTHER_WEIGHTS = /\.(?:bin|pt|pth|ckpt|h5|msgpack|onnx|gguf|safetensors)$/
const NOT_MODEL_WEIGHTS = /^(?:training_args|optimizer|scheduler|rng_state.*|scaler)\./
const KINDS_WITHOUT_WEIGHTS = ['Pooling', 'Normalize', 'Dropout']

/** `readJson` is given names from `paths` only. */
export async function planFiles(
  repository: string,
  paths: ReadonlySet<string>,
  readJson: (path: string) => Promise<unknown>,
): Promise<FilePlan> {
  const modules = paths.has('modules.json')
    ? parseModules(repository, await readJson('modules.json'))
    : [{ path: '', kind: 'Transformer' }]
  const first = modules[0]!
  const adapter = inside(first.path, 'adapter_config.json')
  if (paths.has(adapter)) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
      `Expected a model without an adapter but found ${adapter} in the hub repository "${repository}": adapters are ` +
        'not supported. Merge it in Python with peft (model.merge_and_unload(), then save_pretrained) and load the result',
    )
  }
  if (first.kind === 'Transformer' && !paths.has(inside(first.path, 'config.json'))) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
      `The hub repository "${repository}" has no ${inside(first.path, 'config.json')}${paths.has('modules.json') ? '' : ' and no modules.json'}, so it is not an encoder that can be loaded.`,
    )
  }
  const small = new Set<string>([...paths].filter((path) => ROOT_FILE.test(path)))
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

function parseModules(repository: string, json: unknown): Module[] {
  const bad = (what: string): EmbedCoreError =>
    new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', `modules.json of the hub repository "${repository}" ${what}.`)
  if (!Array.isArray(json) || json.length === 0) throw bad('must be a list with at least one module')
  return json.map((entry: unknown, at) => {
    const { path, type } = (typeof entry === 'object' && entry !== null ? entry : {}) as {
      path?: unknown
      type?: unknown
    }
    if (typeof path !== 'string' || typeof type !== 'string') throw bad(`has no path or type in entry ${at}`)
    const folder = path.replace(/^\.?\/?$|^\.\//, '').replace(/\/$/, '')
    if (folder !== '' && !isPlainRelativePath(folder))
      throw bad(`names the folder ${JSON.stringify(path)}, which is not a plain path inside the repository`)
    return { path: folder, kind: type.split('.').at(-1)! }
  })
}

async function shardsOf(
  repository: string,
  folder: string,
  paths: ReadonlySet<string>,
  readJson: (path: string) => Promise<unknown>,
): Promise<Set<string>> {
  const index = inside(folder, INDEX)
  const bad = (what: string): EmbedCoreError =>
    new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', `${index} of the hub repository "${repository}" ${what}.`)
  const json = await readJson(index)
  const map = (typeof json === 'object' && json !== null ? json : {}) as { weight_map?: unknown }
  if (typeof map.weight_map !== 'object' || map.weight_map === null) throw bad('has no weight_map')
  const names = new Set<unknown>(Object.values(map.weight_map))
  if (names.size === 0) throw bad('names no file')
  const shards = new Set<string>()
  for (const name of names) {
    if (!isPlainRelativePath(name) || name.includes('/'))
      throw bad(`names the file ${JSON.stringify(name)}, which is not a plain file name`)
    if (!paths.has(inside(folder, name))) throw bad(`names ${name}, which is not there`)
    shards.add(inside(folder, name))
  }
  return shards
}

function noSafetensors(repository: string, folder: string, others: string[]): EmbedCoreError {
  const has =
    others.length === 0
      ? ''
      : ` It has ${others.slice(0, 4).join(', ')}, which are not read: save the model again with safe_serialization, or see whether a revision refs/pr/… of the repository holds the conversion.`
  return new EmbedCoreError(
    'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
    `The hub repository "${repository}" has no ${inside(folder, SINGLE)} and no ${inside(folder, INDEX)}.${has}`,
  )
}
