/**
 * Models, peers and the table of cells. To add one of our dtypes or a peer, add a line here (and a runner under peers/
 * if it is a new library).
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { CACHE, SHARED } from './paths.mjs'

const grid = (sets, batches) => sets.flatMap((set) => batches.map((batch) => ({ set, batch })))

const BERT = {
  model_type: 'bert',
  vocab_size: 30522,
  max_position_embeddings: 512,
  type_vocab_size: 2,
  hidden_act: 'gelu',
  layer_norm_eps: 1e-12,
  pad_token_id: 0,
  position_embedding_type: 'absolute',
}

/**
 * Mean pooling of random weights gives different texts a cosine of up to 0.99, so a lower cosine than this is a fault.
 */
const RANDOM_AGREEMENT = { bfloat16: 0.999, int8: 0.995 }

/**
 * `cells` are limited by the memory of peers that pad: transformers.js takes 4 GB for MiniLM at batch 256. `own` names
 * the cells of lib/own.mjs that the model runs by default; `threadsCell` is the cell in which one thread and all
 * threads are compared.
 */
export const MODELS = {
  minilm: {
    title: 'all-MiniLM-L6-v2',
    source: join(SHARED, 'models', 'all-MiniLM-L6-v2'),
    tokenizer: 'bert',
    cells: grid(['mixed', 'uniform'], [1, 32, 256]),
    own: ['threads', 'long', 'load', 'start'],
    threadsCell: { set: 'mixed', batch: 32 },
  },
  'minilm-shape': {
    title: 'all-MiniLM-L6-v2 shape, random weights',
    tokenizer: 'made',
    shape: { ...BERT, hidden_size: 384, num_hidden_layers: 6, num_attention_heads: 12, intermediate_size: 1536 },
    maxTokens: 256,
    dtype: 'F32',
    pooling: 'mean',
    cells: grid(['mixed', 'uniform'], [1, 32, 256]),
    own: ['threads', 'long', 'load', 'start'],
    threadsCell: { set: 'mixed', batch: 32 },
    agreement: RANDOM_AGREEMENT,
  },
  'bert-base': {
    title: 'BERT-base shape, random weights',
    tokenizer: 'bert',
    shape: { ...BERT, hidden_size: 768, num_hidden_layers: 12, num_attention_heads: 12, intermediate_size: 3072 },
    dtype: 'F32',
    pooling: 'mean',
    cells: grid(['mixed', 'uniform'], [32]),
    own: ['threads', 'start'],
    threadsCell: { set: 'mixed', batch: 32 },
    agreement: RANDOM_AGREEMENT,
  },
  'qwen2-0.5b': {
    title: 'Qwen2.5-0.5B shape, random weights',
    tokenizer: 'qwen',
    shape: {
      model_type: 'qwen2',
      hidden_size: 896,
      num_hidden_layers: 24,
      num_attention_heads: 14,
      num_key_value_heads: 2,
      intermediate_size: 4864,
      vocab_size: 151936,
      max_position_embeddings: 32768,
      hidden_act: 'silu',
      rms_norm_eps: 1e-6,
      rope_theta: 1000000,
      tie_word_embeddings: true,
      use_sliding_window: false,
      sliding_window: 32768,
      max_window_layers: 24,
      bos_token_id: 151643,
      eos_token_id: 151643,
    },
    dtype: 'BF16',
    pooling: 'lasttoken',
    cells: [
      { set: 'mixed', batch: 32 },
      { set: 'uniform', batch: 64 },
    ],
    own: ['threads'],
    threadsCell: { set: 'uniform', batch: 64 },
  },
}

/**
 * The model for long texts. It is small enough that 4,000 tokens take about a second; attention is a third of the work.
 */
export const LONG = {
  name: 'long',
  title: 'Qwen2 shape of 8 layers of 512, random weights',
  tokenizer: 'bert',
  shape: {
    model_type: 'qwen2',
    hidden_size: 512,
    num_hidden_layers: 8,
    num_attention_heads: 8,
    num_key_value_heads: 2,
    intermediate_size: 2048,
    vocab_size: 30522,
    max_position_embeddings: 8192,
    hidden_act: 'silu',
    rms_norm_eps: 1e-6,
    rope_theta: 1000000,
    tie_word_embeddings: true,
    use_sliding_window: false,
    sliding_window: 8192,
    max_window_layers: 8,
    bos_token_id: 101,
    eos_token_id: 102,
  },
  maxTokens: 8192,
  dtype: 'BF16',
  pooling: 'lasttoken',
}

/** One layer with the width of MiniLM: it makes many vectors in little time, for measuring what follows the encoder. */
export const SHALLOW = {
  title: 'BERT shape of 1 layer of 384, random weights',
  tokenizer: 'bert',
  shape: { ...MODELS['minilm-shape'].shape, num_hidden_layers: 1 },
  maxTokens: 256,
  dtype: 'F32',
  pooling: 'mean',
}

/**
 * The lowest cosine to the float32 reference with which a peer is ranked, by the precision of its arithmetic; a model's
 * `agreement` may require more.
 */
export const AGREEMENT = { float32: 0.9999, bfloat16: 0.99, int8: 0.95 }

const SORTED = {
  maxBatch: 64,
  why: 'a careful user sorts and takes smaller batches: 256 long texts together need 4 GB and are slower',
}
const ONE_BY_ONE = { maxBatch: 64, why: 'takes one text at a time: a larger batch would measure the same again' }

/**
 * runner: file in peers/. precision: which measured peak is its limit, and which agreement it must reach. ours: a row
 * of the package, to which the others of the same precision are compared. families: models it can run. needs: files
 * made by models/*.py. python: only with `--python`. maxBatch: larger batches are not measured, for the reason in
 * `why`.
 */
export const PEERS = [
  {
    id: 'embedcore',
    runner: 'embedcore.mjs',
    precision: 'float32',
    ours: true,
    options: { dtype: 'float32' },
    families: ['bert', 'qwen2'],
  },
  {
    id: 'embedcore-bf16',
    runner: 'embedcore.mjs',
    precision: 'bfloat16',
    ours: true,
    options: { dtype: 'bfloat16' },
    families: ['bert', 'qwen2'],
  },
  {
    id: 'embedcore-int8',
    runner: 'embedcore.mjs',
    precision: 'int8',
    ours: true,
    options: { dtype: 'int8' },
    families: ['bert', 'qwen2'],
  },
  {
    id: 'transformers.js',
    runner: 'transformers-js.mjs',
    precision: 'float32',
    options: { dtype: 'fp32' },
    families: ['bert'],
    needs: 'onnx',
  },
  {
    id: 'transformers.js-q8',
    runner: 'transformers-js.mjs',
    precision: 'int8',
    options: { dtype: 'q8' },
    families: ['bert'],
    needs: 'onnx',
  },
  {
    id: 'onnxruntime-sorted',
    runner: 'onnxruntime.mjs',
    precision: 'float32',
    options: { file: 'model_fused.onnx' },
    families: ['bert'],
    needs: 'onnx',
    ...SORTED,
  },
  {
    id: 'onnxruntime-sorted-int8',
    runner: 'onnxruntime.mjs',
    precision: 'int8',
    options: { file: 'model_fused_int8.onnx' },
    families: ['bert'],
    needs: 'onnx',
    ...SORTED,
  },
  {
    id: 'llama.cpp',
    runner: 'node-llama-cpp.mjs',
    precision: 'float32',
    options: { file: 'model-f32.gguf' },
    families: ['bert'],
    needs: 'gguf',
    ...ONE_BY_ONE,
  },
  {
    id: 'llama.cpp-bf16',
    runner: 'node-llama-cpp.mjs',
    precision: 'bfloat16',
    options: { file: 'model-bf16.gguf' },
    families: ['qwen2'],
    needs: 'gguf',
    ...ONE_BY_ONE,
  },
  {
    id: 'llama.cpp-q8_0',
    runner: 'node-llama-cpp.mjs',
    precision: 'int8',
    options: { file: 'model-q8_0.gguf' },
    families: ['bert', 'qwen2'],
    needs: 'gguf',
    ...ONE_BY_ONE,
  },
  {
    id: 'sentence-transformers',
    runner: 'sentence_transformers_peer.py',
    precision: 'float32',
    options: { dtype: 'float32' },
    families: ['bert', 'qwen2'],
    python: true,
  },
  {
    id: 'sentence-transformers-bf16',
    runner: 'sentence_transformers_peer.py',
    precision: 'bfloat16',
    options: { dtype: 'bfloat16' },
    families: ['bert', 'qwen2'],
    python: true,
  },
]

export const modelCache = (name) => join(CACHE, 'models', name)
export const cellName = ({ set, batch }) => `${set}/${batch}`

/** The default model: MiniLM if its weights are present, else its shape with generated weights. */
export const defaultModel = () =>
  existsSync(join(MODELS.minilm.source, 'model.safetensors')) ? 'minilm' : 'minilm-shape'
