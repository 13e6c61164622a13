/**
 * Writes a small model with random weights: a BERT or a Qwen2 shape, with a tokenizer made for the texts. It knows
 * nothing before it is trained.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { END, learnBytePairs } from './byte-pairs.mjs'
import { normal, random } from './random.mjs'
import { writeTensors } from './safetensors.mjs'

const SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]']
const weight = (name, ...shape) => ({ name, shape, mean: 0 })
const ones = (name, size) => ({ name, shape: [size], mean: 1 })
const linear = (name, out, inputs) => [weight(`${name}.weight`, out, inputs), weight(`${name}.bias`, out)]
const layerNorm = (name, size) => [ones(`${name}.weight`, size), weight(`${name}.bias`, size)]

const SHAPES = {
  bert: {
    architectures: ['BertModel'],
    hidden_size: 64,
    intermediate_size: 128,
    num_attention_heads: 4,
    num_hidden_layers: 2,
    hidden_act: 'gelu',
    hidden_dropout_prob: 0.1,
    attention_probs_dropout_prob: 0.1,
    layer_norm_eps: 1e-12,
    max_position_embeddings: 64,
    type_vocab_size: 2,
    position_embedding_type: 'absolute',
    pad_token_id: 0,
  },
  qwen2: {
    architectures: ['Qwen2Model'],
    hidden_size: 64,
    intermediate_size: 172,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    num_hidden_layers: 4,
    hidden_act: 'silu',
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    max_position_embeddings: 64,
    tie_word_embeddings: true,
    attention_dropout: 0,
    use_sliding_window: false,
    sliding_window: null,
    max_window_layers: 4,
    bos_token_id: null,
    eos_token_id: null,
    pad_token_id: null,
  },
}

const TENSORS = {
  bert(c) {
    const h = c.hidden_size
    const layer = (p) => [
      ...['query', 'key', 'value'].flatMap((part) => linear(`${p}.attention.self.${part}`, h, h)),
      ...linear(`${p}.attention.output.dense`, h, h),
      ...layerNorm(`${p}.attention.output.LayerNorm`, h),
      ...linear(`${p}.intermediate.dense`, c.intermediate_size, h),
      ...linear(`${p}.output.dense`, h, c.intermediate_size),
      ...layerNorm(`${p}.output.LayerNorm`, h),
    ]
    return [
      weight('embeddings.word_embeddings.weight', c.vocab_size, h),
      weight('embeddings.position_embeddings.weight', c.max_position_embeddings, h),
      weight('embeddings.token_type_embeddings.weight', c.type_vocab_size, h),
      ...layerNorm('embeddings.LayerNorm', h),
      ...Array.from({ length: c.num_hidden_layers }, (_, i) => layer(`encoder.layer.${i}`)).flat(),
    ]
  },
  qwen2(c) {
    const h = c.hidden_size
    const kv = (h / c.num_attention_heads) * c.num_key_value_heads
    const layer = (p) => [
      ...linear(`${p}.self_attn.q_proj`, h, h),
      ...linear(`${p}.self_attn.k_proj`, kv, h),
      ...linear(`${p}.self_attn.v_proj`, kv, h),
      weight(`${p}.self_attn.o_proj.weight`, h, h),
      weight(`${p}.mlp.gate_proj.weight`, c.intermediate_size, h),
      weight(`${p}.mlp.up_proj.weight`, c.intermediate_size, h),
      weight(`${p}.mlp.down_proj.weight`, h, c.intermediate_size),
      ones(`${p}.input_layernorm.weight`, h),
      ones(`${p}.post_attention_layernorm.weight`, h),
    ]
    return [
      weight('embed_tokens.weight', c.vocab_size, h),
      ...Array.from({ length: c.num_hidden_layers }, (_, i) => layer(`layers.${i}`)).flat(),
      ones('norm.weight', h),
    ]
  },
}

/** Whole words, in lower case, between [CLS] and [SEP]. */
function wordTokenizer(texts) {
  const words = new Set(texts.flatMap((text) => text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) ?? []))
  const special = (content, id) => ({
    id,
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  })
  const part = (id) => ({ SpecialToken: { id, type_id: 0 } })
  const sequence = { Sequence: { id: 'A', type_id: 0 } }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL.map(special),
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: { type: 'Whitespace' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [part('[CLS]'), sequence, part('[SEP]')],
      pair: [sequence, { Sequence: { id: 'B', type_id: 0 } }],
      special_tokens: Object.fromEntries(
        ['[CLS]', '[SEP]'].map((token) => [token, { id: token, ids: [SPECIAL.indexOf(token)], tokens: [token] }]),
      ),
    },
    decoder: null,
    model: {
      type: 'WordLevel',
      vocab: Object.fromEntries([...SPECIAL, ...words].map((word, id) => [word, id])),
      unk_token: '[UNK]',
    },
  }
}

const TOKENIZERS = {
  bert: {
    make: wordTokenizer,
    config: {
      tokenizer_class: 'PreTrainedTokenizerFast',
      unk_token: '[UNK]',
      pad_token: '[PAD]',
      cls_token: '[CLS]',
      sep_token: '[SEP]',
    },
  },
  qwen2: {
    make: (texts) => learnBytePairs(texts, 2048),
    config: { tokenizer_class: 'Qwen2Tokenizer', unk_token: null, pad_token: END, eos_token: END },
  },
}

/** `texts`: what the tokenizer is made for. Returns the directory. */
export function makeSmallModel(directory, { type = 'bert', texts, seed = 1 }) {
  const tokenizer = TOKENIZERS[type].make(texts)
  const size = Object.keys(tokenizer.model.vocab).length + (type === 'qwen2' ? 1 : 0)
  const config = { model_type: type, ...SHAPES[type], vocab_size: size, torch_dtype: 'float32' }
  const next = random(seed)
  const tensors = new Map(
    TENSORS[type](config).map(({ name, shape, mean }) => {
      const values = new Float32Array(shape.reduce((product, size) => product * size, 1))
      for (let i = 0; i < values.length; i++) values[i] = mean === 1 ? 1 : 0.02 * normal(next)
      return [name, { dtype: 'F32', shape, bytes: new Uint8Array(values.buffer) }]
    }),
  )
  mkdirSync(path.join(directory, '1_Pooling'), { recursive: true })
  const json = (name, value) => writeFileSync(path.join(directory, name), JSON.stringify(value, null, 2) + '\n')
  json('config.json', config)
  json('modules.json', [
    { idx: 0, name: '0', path: '', type: 'sentence_transformers.models.Transformer' },
    { idx: 1, name: '1', path: '1_Pooling', type: 'sentence_transformers.models.Pooling' },
    { idx: 2, name: '2', path: '2_Normalize', type: 'sentence_transformers.models.Normalize' },
  ])
  json('sentence_bert_config.json', { max_seq_length: config.max_position_embeddings, do_lower_case: false })
  json('1_Pooling/config.json', {
    word_embedding_dimension: config.hidden_size,
    pooling_mode_cls_token: false,
    pooling_mode_mean_tokens: true,
    pooling_mode_max_tokens: false,
    pooling_mode_mean_sqrt_len_tokens: false,
  })
  json('tokenizer.json', tokenizer)
  json('tokenizer_config.json', {
    model_max_length: config.max_position_embeddings,
    ...TOKENIZERS[type].config,
  })
  writeTensors(path.join(directory, 'model.safetensors'), tensors)
  return directory
}
