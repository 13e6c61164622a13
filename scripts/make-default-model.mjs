// Makes models/embedcore-static-en, the built-in default model: all-MiniLM-L6-v2 distilled into one vector a token, in
// the manner of model2vec (https://github.com/MinishLab/model2vec): one forward pass per vocabulary entry, principal
// components, frequency weights.
//
//   node scripts/make-default-model.mjs [--source ../shared/models/all-MiniLM-L6-v2] [--data ../shared/data] [--out
//   models/embedcore-static-en]
//
// Prints Spearman's correlation on STS-B dev (en) of each step. Needs a built package (npm run build)
// and the folders named by --source and --data.
import { createRequire } from 'node:module'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { principalComponents } from './default-model/principal-components.mjs'
import { corpusTexts, spearman, stsPairs } from './default-model/sts-data.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const require = createRequire(import.meta.url)
const { Tokenizer } = require('tokenizers')
const { values: args } = parseArgs({
  options: {
    source: { type: 'string', default: join(root, '../shared/models/all-MiniLM-L6-v2') },
    data: { type: 'string', default: join(root, '../shared/data') },
    out: { type: 'string', default: join(root, 'models/embedcore-static-en') },
  },
})

const DIMENSIONS = 256
const SMOOTHING = 1e-3 // a of a / (a + frequency), smooth inverse frequency (Arora et al. 2017)

const tokenizer = Tokenizer.fromFile(join(args.source, 'tokenizer.json'))
tokenizer.disablePadding()
tokenizer.disableTruncation()
const vocabulary = tokenizer.getVocabSize(true)
const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'].map((token) => tokenizer.tokenToId(token))
const pairs = stsPairs(join(args.data, 'stsb/stsb-en-dev.csv'))

const tokenVectors = await encodeVocabulary()
await report('token vectors alone, 384 dimensions', tokenVectors.data, tokenVectors.width)

const { projected } = principalComponents(tokenVectors.data, tokenVectors.width, DIMENSIONS)
await report('principal components', projected, DIMENSIONS)

const weighted = applyWeights(projected, await tokenFrequencies())
await report('frequency weights', weighted, DIMENSIONS)

const quantized = quantizeRows(weighted)
await report('int8 rows', quantized.restored, DIMENSIONS)

save(quantized)
await checkSaved()

/** [CLS] token [SEP] through the source model, mean pooled: [vocabulary, width]. */
async function encodeVocabulary() {
  const addon = require('../native/binding/load.cjs')
  const load = {
    kind: 'transformer',
    directory: resolve(args.source),
    modules: [],
    layerWeights: null,
    threads: addon.cpu().cores,
    maxBatchTokens: 4096,
    maxQueueTokens: 1 << 24,
  }
  const model = await new Promise((done, failed) =>
    addon.load(load, (error, loaded) => (error ? failed(error) : done(loaded))),
  )
  const plan = model.plan({
    pooling: ['mean'],
    layers: [],
    fusion: 'mean',
    attention: [],
    output: 'sentence',
    normalize: null,
    dimensions: 0,
  })
  const [cls, sep] = [tokenizer.tokenToId('[CLS]'), tokenizer.tokenToId('[SEP]')]
  const ids = Int32Array.from({ length: vocabulary * 3 }, (_, i) => [cls, Math.floor(i / 3), sep][i % 3])
  const offsets = Int32Array.from({ length: vocabulary + 1 }, (_, i) => i * 3)
  const data = new Float32Array(vocabulary * plan.dimension)
  await new Promise((done, failed) =>
    model.encode(plan, { ids, offsets, skip: null, prefix: null }, data, (error) => (error ? failed(error) : done())),
  )
  model.dispose()
  return { data, width: plan.dimension }
}

/** Share of each token among all tokens of the texts at hand. */
async function tokenFrequencies() {
  const counts = new Float64Array(vocabulary)
  let total = 0
  const texts = corpusTexts(args.data)
  for (let i = 0; i < texts.length; i += 2048) {
    for (const encoding of await tokenizer.encodeBatch(texts.slice(i, i + 2048), { addSpecialTokens: false })) {
      for (const id of encoding.getIds()) counts[id]++
      total += encoding.getLength()
    }
  }
  console.log(`frequencies from ${texts.length} texts, ${total} tokens`)
  return counts.map((count) => count / total)
}

/** Rows times a / (a + frequency); special tokens get zeros. */
function applyWeights(rows, frequencies) {
  const out = Float32Array.from(rows)
  for (let id = 0; id < vocabulary; ++id) {
    const weight = special.includes(id) ? 0 : SMOOTHING / (SMOOTHING + frequencies[id])
    for (let d = 0; d < DIMENSIONS; ++d) out[id * DIMENSIONS + d] *= weight
  }
  return out
}

/** One scale a row: the largest magnitude becomes 127. */
function quantizeRows(rows) {
  const levels = new Int8Array(rows.length)
  const scales = new Float32Array(vocabulary)
  const restored = new Float32Array(rows.length)
  for (let id = 0; id < vocabulary; ++id) {
    const row = rows.subarray(id * DIMENSIONS, (id + 1) * DIMENSIONS)
    scales[id] = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127
    for (let d = 0; d < DIMENSIONS; ++d) {
      levels[id * DIMENSIONS + d] = scales[id] > 0 ? Math.round(row[d] / scales[id]) : 0
      restored[id * DIMENSIONS + d] = levels[id * DIMENSIONS + d] * scales[id]
    }
  }
  return { levels, scales, restored }
}

function safetensors(tensors, metadata) {
  const header = { __metadata__: metadata }
  let offset = 0
  for (const { name, dtype, shape, data } of tensors) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + data.byteLength] }
    offset += data.byteLength
  }
  let text = JSON.stringify(header)
  text += ' '.repeat((8 - (text.length % 8)) % 8)
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([
    size,
    Buffer.from(text),
    ...tensors.map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)),
  ])
}

function save({ levels, scales }) {
  mkdirSync(args.out, { recursive: true })
  const writeJson = (name, value) => writeFileSync(join(args.out, name), JSON.stringify(value, null, 2) + '\n')
  writeFileSync(
    join(args.out, 'model.safetensors'),
    safetensors(
      [
        { name: 'scales', dtype: 'F32', shape: [vocabulary], data: scales }, // first: float32 wants to lie at a multiple of four
        { name: 'embeddings', dtype: 'I8', shape: [vocabulary, DIMENSIONS], data: levels },
      ],
      { format: 'pt', source: 'sentence-transformers/all-MiniLM-L6-v2' },
    ),
  )
  const tokens = JSON.parse(readFileSync(join(args.source, 'tokenizer.json'), 'utf8'))
  writeFileSync(
    join(args.out, 'tokenizer.json'),
    JSON.stringify({ ...tokens, padding: null, truncation: null, post_processor: null }),
  )
  writeJson('modules.json', [
    { idx: 0, name: '0', path: '', type: 'static_embedding_int8.Int8StaticEmbedding' },
    { idx: 1, name: '1', path: '1_Normalize', type: 'sentence_transformers.models.Normalize' },
  ])
  writeJson('config_sentence_transformers.json', {
    model_type: 'SentenceTransformer',
    prompts: {},
    default_prompt_name: null,
    similarity_fn_name: 'cosine',
  })
  for (const name of ['static_embedding_int8.py', 'NOTICE', 'README.md'])
    copyFileSync(join(root, 'scripts/default-model', name), join(args.out, name))
  mkdirSync(join(args.out, '1_Normalize'), { recursive: true })
  writeFileSync(join(args.out, '1_Normalize/config.json'), '{}\n')
}

/** The saved directory through the package itself. */
async function checkSaved() {
  const { embedCore } = await import('../dist/index.js')
  const model = await embedCore.load(args.out)
  const [a, b] = await Promise.all([
    model.encode(pairs.map((pair) => pair.a)),
    model.encode(pairs.map((pair) => pair.b)),
  ])
  const scores = pairs.map((_, i) => a.row(i).reduce((sum, value, d) => sum + value * b.row(i)[d], 0))
  print(
    'saved, through embedCore.encode()',
    spearman(
      scores,
      pairs.map((pair) => pair.score),
    ),
  )
  await model.dispose()
}

/** Spearman on STS-B dev of mean-of-tokens with this table. */
async function report(step, table, width) {
  const vectors = async (texts) =>
    (await tokenizer.encodeBatch(texts, { addSpecialTokens: false })).map((encoding) => {
      const sum = new Float64Array(width)
      for (const id of encoding.getIds()) for (let d = 0; d < width; ++d) sum[d] += table[id * width + d]
      return sum
    })
  const [a, b] = [await vectors(pairs.map((pair) => pair.a)), await vectors(pairs.map((pair) => pair.b))]
  const dot = (x, y) => x.reduce((sum, value, d) => sum + value * y[d], 0)
  const scores = pairs.map((_, i) => dot(a[i], b[i]) / Math.sqrt(dot(a[i], a[i]) * dot(b[i], b[i]) + 1e-30))
  print(
    step,
    spearman(
      scores,
      pairs.map((pair) => pair.score),
    ),
  )
}

function print(step, correlation) {
  console.log(`STS-B dev (en) Spearman ${correlation.toFixed(4)}  ${step}`)
}
