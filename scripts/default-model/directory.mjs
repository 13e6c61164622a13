// Writes the directory of a static model in model2vec's layout, with the files that sentence-transformers needs to open
// it.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))

/** The tensors and JSON files; everything a program needs to open the model. */
export function writeModel(directory, { levels, factors }, { source, baseModel }) {
  mkdirSync(join(directory, '1_Normalize'), { recursive: true })
  const write = (name, content) => writeFileSync(join(directory, name), content)
  const writeJson = (name, value) => write(name, JSON.stringify(value, null, 2) + '\n')
  const [rows, width] = [factors.length, levels.length / factors.length]
  write(
    'model.safetensors',
    safetensors(
      [
        // First, because float32 must start at a multiple of four.
        { name: 'weights', dtype: 'F32', shape: [rows], data: factors },
        { name: 'embeddings', dtype: 'I8', shape: [rows, width], data: levels },
      ],
      { format: 'pt', ...(baseModel === undefined ? {} : { source: baseModel }) },
    ),
  )
  write('tokenizer.json', strippedTokenizer(readFileSync(join(source, 'tokenizer.json'), 'utf8')))
  writeJson('config.json', {
    model_type: 'model2vec',
    architectures: ['StaticModel'],
    hidden_dim: width,
    embedding_dtype: 'int8',
    normalize: true,
  })
  writeJson('modules.json', [
    { idx: 0, name: '0', path: '', type: 'static_embedding_int8.Int8StaticEmbedding' },
    { idx: 1, name: '1', path: '1_Normalize', type: 'sentence_transformers.models.Normalize' },
  ])
  write('1_Normalize/config.json', '{}\n')
  writeJson('config_sentence_transformers.json', {
    model_type: 'SentenceTransformer',
    prompts: {},
    default_prompt_name: null,
    similarity_fn_name: 'cosine',
  })
  copyFileSync(join(here, 'static_embedding_int8.py'), join(directory, 'static_embedding_int8.py'))
}

/** README.md with the scores instead of the placeholder, and NOTICE. */
export function writeDocuments(directory, scores) {
  copyFileSync(join(here, 'NOTICE'), join(directory, 'NOTICE'))
  writeFileSync(
    join(directory, 'README.md'),
    readFileSync(join(here, 'README.md'), 'utf8').replace('{{scores}}', scores.join('\n')),
  )
}

/**
 * A static model adds no special tokens and needs no padding or decoder. Scores keep all their digits: with fewer, two
 * ways to cut a word with almost equal scores may change places.
 */
function strippedTokenizer(text) {
  return JSON.stringify({ ...JSON.parse(text), padding: null, truncation: null, post_processor: null, decoder: null })
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
