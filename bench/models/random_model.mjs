/**
 * Generates a sentence-transformers directory of a known shape with random weights. Speed depends only on the shape,
 * and real weights of these models are too large to keep. Weights are normal with the usual deviation of 0.02; norms
 * near 1.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeRandom } from '../lib/safetensors.mjs'

const weight = (name, shape) => ({ name, shape, mean: 0, deviation: 0.02 })
const scale = (name, size) => ({ name, shape: [size], mean: 1, deviation: 0.02 })
const linear = (name, out, input) => [weight(`${name}.weight`, [out, input]), weight(`${name}.bias`, [out])]
const layerNorm = (name, size) => [scale(`${name}.weight`, size), weight(`${name}.bias`, [size])]

function bertTensors(c) {
  const h = c.hidden_size
  const layer = (p) => [
    ...['query', 'key', 'value'].flatMap((x) => linear(`${p}.attention.self.${x}`, h, h)),
    ...linear(`${p}.attention.output.dense`, h, h),
    ...layerNorm(`${p}.attention.output.LayerNorm`, h),
    ...linear(`${p}.intermediate.dense`, c.intermediate_size, h),
    ...linear(`${p}.output.dense`, h, c.intermediate_size),
    ...layerNorm(`${p}.output.LayerNorm`, h),
  ]
  return [
    weight('embeddings.word_embeddings.weight', [c.vocab_size, h]),
    weight('embeddings.position_embeddings.weight', [c.max_position_embeddings, h]),
    weight('embeddings.token_type_embeddings.weight', [c.type_vocab_size, h]),
    ...layerNorm('embeddings.LayerNorm', h),
    ...Array.from({ length: c.num_hidden_layers }, (_, i) => layer(`encoder.layer.${i}`)).flat(),
  ]
}

function qwen2Tensors(c) {
  const h = c.hidden_size
  const kv = (h / c.num_attention_heads) * c.num_key_value_heads
  const layer = (p) => [
    ...linear(`${p}.self_attn.q_proj`, h, h),
    ...linear(`${p}.self_attn.k_proj`, kv, h),
    ...linear(`${p}.self_attn.v_proj`, kv, h),
    weight(`${p}.self_attn.o_proj.weight`, [h, h]),
    weight(`${p}.mlp.gate_proj.weight`, [c.intermediate_size, h]),
    weight(`${p}.mlp.up_proj.weight`, [c.intermediate_size, h]),
    weight(`${p}.mlp.down_proj.weight`, [h, c.intermediate_size]),
    scale(`${p}.input_layernorm.weight`, h),
    scale(`${p}.post_attention_layernorm.weight`, h),
  ]
  return [
    weight('embed_tokens.weight', [c.vocab_size, h]),
    ...Array.from({ length: c.num_hidden_layers }, (_, i) => layer(`layers.${i}`)).flat(),
    scale('norm.weight', h),
  ]
}

const ARCHITECTURE = { bert: 'BertModel', qwen2: 'Qwen2Model' }

/** spec: an entry of MODELS with a shape. Writes everything but the tokenizer. */
export function makeRandomModel(directory, spec, seed) {
  const json = (name, value) => writeFileSync(join(directory, name), JSON.stringify(value, null, 2) + '\n')
  mkdirSync(join(directory, '1_Pooling'), { recursive: true })
  json('config.json', {
    architectures: [ARCHITECTURE[spec.shape.model_type]],
    torch_dtype: spec.dtype === 'F32' ? 'float32' : 'bfloat16',
    ...spec.shape,
  })
  json('modules.json', [
    { idx: 0, name: '0', path: '', type: 'sentence_transformers.models.Transformer' },
    { idx: 1, name: '1', path: '1_Pooling', type: 'sentence_transformers.models.Pooling' },
    { idx: 2, name: '2', path: '2_Normalize', type: 'sentence_transformers.models.Normalize' },
  ])
  json('sentence_bert_config.json', { max_seq_length: spec.maxTokens ?? 512, do_lower_case: false })
  json('1_Pooling/config.json', {
    word_embedding_dimension: spec.shape.hidden_size,
    pooling_mode_cls_token: false,
    pooling_mode_max_tokens: false,
    pooling_mode_mean_tokens: spec.pooling === 'mean',
    pooling_mode_mean_sqrt_len_tokens: false,
    pooling_mode_weightedmean_tokens: false,
    pooling_mode_lasttoken: spec.pooling === 'lasttoken',
  })
  writeRandom(
    join(directory, 'model.safetensors'),
    spec.shape.model_type === 'bert' ? bertTensors(spec.shape) : qwen2Tensors(spec.shape),
    spec.dtype,
    seed,
  )
}
