/** The description of a model directory: layouts, modules, settings of the transformer. */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readModelDirectory } from '../../src/model/directory.js'
import { list, read, refused, safetensors, stack, scratch, type Files } from '../support/model-files.js'

const MODELS = '../shared/models'
const present = existsSync(MODELS)
if (!present) console.log(`skipped: descriptions of real models, because ${MODELS} is not there`)

describe('layouts', () => {
  test.skipIf(!present)('the real models', async () => {
    const common = {
      kind: 'transformer',
      layerWeights: null,
      modules: [{ type: 'normalize' }],
      similarity: 'cosine',
      defaultPromptName: null,
      dimensions: null,
    }
    expect(await readModelDirectory(join(MODELS, 'all-MiniLM-L6-v2'))).toMatchObject({
      ...common,
      pooling: { modes: ['mean'], includePrompt: true },
      maxTokens: 256,
      lowerCase: false,
    })
    expect(await readModelDirectory(join(MODELS, 'bge-small-zh-v1.5'))).toMatchObject({
      ...common,
      pooling: { modes: ['cls'], includePrompt: true },
      maxTokens: 512,
      lowerCase: true,
      prompts: { query: '为这个句子生成表示以用于检索相关文章：', document: '' },
    })
    expect(await readModelDirectory(join(MODELS, 'stories260K-qwen2'))).toMatchObject({
      ...common,
      modules: [],
      pooling: { modes: ['lasttoken'] },
      maxTokens: null,
      lowerCase: null,
    })
  })

  test('new type names, modules out of order, a transformer in its own folder', async () => {
    const entries = list(
      ['0_Transformer', 'sentence_transformers.base.modules.transformer.Transformer'],
      ['1_Pooling', 'sentence_transformers.sentence_transformer.modules.pooling.Pooling'],
      ['2_Dense', 'sentence_transformers.base.modules.dense.Dense'],
      ['3_Normalize', 'sentence_transformers.base.modules.normalize.Normalize'],
    )
    const made = await read({
      'modules.json': [entries[3], entries[1], entries[0], entries[2]],
      '0_Transformer/config.json': {},
      '0_Transformer/model.safetensors.index.json': {},
      '1_Pooling/config.json': {
        embedding_dimension: 8,
        pooling_mode: ['cls', 'mean_sqrt_len_tokens'],
        include_prompt: false,
      },
      '2_Dense/config.json': { in_features: 16, out_features: 4 },
      '2_Dense/model.safetensors': '',
    })
    expect(made.directory).toBe(join(made.root, '0_Transformer'))
    expect(made.pooling).toEqual({ modes: ['cls', 'mean_sqrt_len'], includePrompt: false })
    expect(made.modules).toEqual([
      {
        type: 'dense',
        directory: join(made.root, '2_Dense'),
        inFeatures: 16,
        outFeatures: 4,
        bias: true,
        activation: 'tanh',
        residual: false,
      },
      { type: 'normalize' },
    ])
  })

  test('static: StaticEmbedding, a class named after it, model2vec with and without modules.json', async () => {
    const table = { 'model.safetensors': safetensors('embeddings') }
    const withModules = (type: string) => ({
      'modules.json': list(['.', type], ['1_Normalize', 'Normalize']),
      ...table,
    })
    for (const type of ['StaticEmbedding', 'my_package.Int8StaticEmbedding']) {
      const made = await read(withModules(type))
      expect(made).toMatchObject({ kind: 'static', pooling: null, maxTokens: null, modules: [{ type: 'normalize' }] })
      expect(made.directory).toBe(made.root)
    }
    expect(await read({ 'config.json': { model_type: 'model2vec', normalize: true }, ...table })).toMatchObject({
      kind: 'static',
      modules: [{ type: 'normalize' }],
    })
    expect(await read({ 'config.json': { normalize: false }, ...table })).toMatchObject({ kind: 'static', modules: [] })
    expect(await read(table)).toMatchObject({ kind: 'static', modules: [] })
  })

  test('plain Hugging Face: mean, but the last token of a causal language model', async () => {
    const plain = async (config: object, more: Files = {}) =>
      read({ 'config.json': config, 'model.safetensors': '', ...more })
    expect(await plain({ model_type: 'bert', architectures: ['BertModel'] })).toMatchObject({
      kind: 'transformer',
      pooling: { modes: ['mean'], includePrompt: true },
      modules: [],
    })
    expect(await plain({ model_type: 'qwen2', architectures: ['Qwen2ForCausalLM'] })).toMatchObject({
      pooling: { modes: ['lasttoken'] },
    })
    for (const is_causal of [false, null, 0])
      expect(await plain({ model_type: 'qwen2', architectures: ['Qwen2ForCausalLM'], is_causal })).toMatchObject({
        pooling: { modes: ['mean'] },
      })
    expect(
      await plain(
        { model_type: 'bert' },
        { 'tokenizer_config.json': { model_max_length: 77 }, 'sentence_bert_config.json': { max_seq_length: 5 } },
      ),
    ).toMatchObject({ maxTokens: 77 })
  })

  test('nothing there', async () => {
    await expect(readModelDirectory(join(scratch(), 'absent'))).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_NOT_FOUND',
    })
    await writeFile(join(scratch(), 'file'), '')
    await expect(readModelDirectory(join(scratch(), 'file'))).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_NOT_FOUND' })
    await refused({}, 'ERR_EMBEDCORE_NOT_FOUND', 'modules.json')
    await refused(
      { 'config.json': { model_type: 'bert' }, 'pytorch_model.bin': '' },
      'ERR_EMBEDCORE_NOT_FOUND',
      'save_pretrained',
    )
    await refused(
      { ...stack(), 'modules.json': list(['', 'Transformer'], ['9_Pooling', 'Pooling']) },
      'ERR_EMBEDCORE_NOT_FOUND',
      '9_Pooling',
    )
    await refused(
      stack([['2_Dense', 'Dense']], { '2_Dense/config.json': { in_features: 8, out_features: 8 } }),
      'ERR_EMBEDCORE_NOT_FOUND',
      'model.safetensors',
    )
  })
})

describe('modules', () => {
  const dense = (config: object) =>
    stack([['2_Dense', 'Dense']], {
      '2_Dense/config.json': { in_features: 8, out_features: 4, ...config },
      '2_Dense/model.safetensors': '',
    })

  test('pooling keys, old and new', async () => {
    const modes = async (config: object) =>
      (await read(stack([], { '1_Pooling/config.json': { word_embedding_dimension: 8, ...config } }))).pooling!.modes
    expect(
      await modes({ pooling_mode_lasttoken: true, pooling_mode_cls_token: true, pooling_mode_mean_tokens: false }),
    ).toEqual(['cls', 'lasttoken'])
    expect(await modes({ pooling_mode_cls_token: false })).toEqual(['mean'])
    expect(await modes({ pooling_mode: 'weightedmean', pooling_mode_cls_token: true })).toEqual(['weightedmean'])
    await refused(
      stack([], { '1_Pooling/config.json': { embedding_dimension: 8, pooling_mode: 'median' } }),
      'ERR_EMBEDCORE_INVALID_CONFIG',
      '"median"',
      '1_Pooling',
    )
    await refused(
      stack([], { '1_Pooling/config.json': { embedding_dimension: 8, pooling_mode: [] } }),
      'ERR_EMBEDCORE_INVALID_CONFIG',
      'pooling_mode',
    )
    await refused(
      stack([], { '1_Pooling/config.json': { embedding_dimension: 8, pooling_mode_mean_tokens: 'yes' } }),
      'ERR_EMBEDCORE_INVALID_CONFIG',
      '"yes"',
    )
    await refused(
      stack([], { '1_Pooling/config.json': { embedding_dimension: 8, pooling_mode_new_tokens: true } }),
      'ERR_EMBEDCORE_INVALID_CONFIG',
      'pooling_mode_new_tokens',
    )
  })

  test('dense: activations by torch name, residual, bias', async () => {
    const activations = {
      'torch.nn.modules.linear.Identity': 'identity',
      'torch.nn.modules.activation.Tanh': 'tanh',
      'torch.nn.modules.activation.ReLU': 'relu',
      'torch.nn.modules.activation.GELU': 'gelu',
      'torch.nn.modules.activation.Sigmoid': 'sigmoid',
      'torch.nn.modules.activation.SiLU': 'silu',
    }
    for (const [name, activation] of Object.entries(activations)) {
      expect((await read(dense({ activation_function: name, bias: false, use_residual: true }))).modules).toMatchObject(
        [{ activation, bias: false, residual: true }],
      )
    }
    await refused(
      dense({ activation_function: 'torch.nn.modules.activation.Mish' }),
      'ERR_EMBEDCORE_UNSUPPORTED_MODULE',
      'Mish',
    )
    await refused(dense({ activation_function: 'my.Tanh' }), 'ERR_EMBEDCORE_UNSUPPORTED_MODULE', 'my.Tanh')
    await refused(
      dense({ module_input_name: 'token_embeddings' }),
      'ERR_EMBEDCORE_UNSUPPORTED_MODULE',
      'token_embeddings',
    )
    await refused(dense({ module_output_name: 'other' }), 'ERR_EMBEDCORE_UNSUPPORTED_MODULE', 'other')
    for (const value of [0, -1, 1.5, 2 ** 31, '8', null, [8], { a: 1 }])
      await refused(
        dense({ in_features: value }),
        'ERR_EMBEDCORE_INVALID_CONFIG',
        'in_features',
        join('2_Dense', 'config.json'),
      )
    await refused(
      { ...dense({}), '2_Dense/config.json': '{"in_features": 1e999, "out_features": 4}' },
      'ERR_EMBEDCORE_INVALID_CONFIG',
      'Infinity',
    )
  })

  test('layer norm, dropout, normalize with and without a config', async () => {
    const made = await read(
      stack(
        [
          ['2_LayerNorm', 'LayerNorm'],
          ['3_Dropout', 'Dropout'],
          ['4_Normalize', 'Normalize'],
        ],
        { '2_LayerNorm/config.json': { dimension: 8 }, '2_LayerNorm/model.safetensors': '' },
      ),
    )
    expect(made.modules).toEqual([
      { type: 'layernorm', directory: join(made.root, '2_LayerNorm'), dimension: 8 },
      { type: 'normalize' },
    ])
    await refused(
      stack([['2_Normalize', 'Normalize']], { '2_Normalize/config.json': { module_input_name: 'token_embeddings' } }),
      'ERR_EMBEDCORE_UNSUPPORTED_MODULE',
      'token_embeddings',
    )
  })

  test('weighted layers act only where the model hands them out, as in the reference', async () => {
    const weighted = (config: object) => ({
      ...stack(),
      'modules.json': list(
        ['', 'Transformer'],
        ['1_WeightedLayerPooling', 'WeightedLayerPooling'],
        ['1_Pooling', 'Pooling'],
      ),
      'config.json': { model_type: 'bert', ...config },
      '1_WeightedLayerPooling/config.json': { word_embedding_dimension: 8, layer_start: 1, num_hidden_layers: 3 },
      '1_WeightedLayerPooling/model.safetensors': '',
    })
    const made = await read(weighted({ output_hidden_states: true }))
    expect(made.layerWeights).toEqual({
      directory: join(made.root, '1_WeightedLayerPooling'),
      layerStart: 1,
    })
    expect((await read(weighted({}))).layerWeights).toBeNull()
  })

  test('what is not supported is named, never skipped', async () => {
    for (const name of ['CNN', 'LSTM', 'BoW', 'WordWeights', 'Router', 'Asym', 'Transformer', 'custom_code.Normalize'])
      await refused(stack([['2', name]]), 'ERR_EMBEDCORE_UNSUPPORTED_MODULE', name)
    for (const name of ['WordEmbeddings', 'CLIPModel', 'Router', 'custom_st.Transformer', 'Pooling'])
      await refused(
        { ...stack(), 'modules.json': list(['', name], ['1_Pooling', 'Pooling']) },
        'ERR_EMBEDCORE_UNSUPPORTED_MODULE',
        name,
      )
    await refused(
      { ...stack(), 'modules.json': list(['', 'Transformer'], ['2', 'Dense'], ['1_Pooling', 'Pooling']) },
      'ERR_EMBEDCORE_UNSUPPORTED_MODULE',
      'Dense',
    )
    await refused({ ...stack(), 'modules.json': list(['', 'Transformer']) }, 'ERR_EMBEDCORE_INVALID_CONFIG', 'Pooling')
    await refused(
      stack([], { 'config_sentence_transformers.json': { model_type: 'CrossEncoder' } }),
      'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
      'CrossEncoder',
    )
  })
})

describe('settings of the transformer', () => {
  const settings = async (content: object, name = 'sentence_bert_config.json', more: Files = {}) =>
    read(stack([], { [name]: content, ...more }))

  test('lengths and letter case, old file names too', async () => {
    expect(await settings({ max_seq_length: 128, do_lower_case: true })).toMatchObject({
      maxTokens: 128,
      lowerCase: true,
    })
    expect(await settings({ max_seq_length: 128 }, 'sentence_xlm-roberta_config.json')).toMatchObject({
      maxTokens: 128,
    })
    const tokenizer = (length: unknown) => ({ 'tokenizer_config.json': `{"model_max_length": ${String(length)}}` })
    expect(await settings({ max_seq_length: null }, undefined, tokenizer(64))).toMatchObject({ maxTokens: 64 })
    expect(await settings({}, undefined, tokenizer('1000000000000000019884624838656'))).toMatchObject({
      maxTokens: null,
    })
    expect(await settings({ tokenizer_args: { model_max_length: 32 }, max_seq_length: 64 })).toMatchObject({
      maxTokens: 32,
    })
    for (const length of [0, -3, 1.5])
      await refused(stack([], tokenizer(length)), 'ERR_EMBEDCORE_INVALID_CONFIG', 'model_max_length')
    for (const length of ['"x"', 0, 1e12])
      await refused(
        stack([], { 'sentence_bert_config.json': `{"max_seq_length": ${length}}` }),
        'ERR_EMBEDCORE_INVALID_CONFIG',
        'max_seq_length',
      )
  })

  test('files of version 6 as it saves them', async () => {
    const saved = {
      transformer_task: 'feature-extraction',
      modality_config: { text: { method: 'forward', method_output_name: 'last_hidden_state' } },
      module_output_name: 'token_embeddings',
    }
    expect(await settings(saved)).toMatchObject({ kind: 'transformer', maxTokens: null })
    await refused(
      stack([], { 'sentence_bert_config.json': { ...saved, transformer_task: 'fill-mask' } }),
      'ERR_EMBEDCORE_UNSUPPORTED_MODULE',
      'fill-mask',
    )
    await refused(
      stack([], { 'sentence_bert_config.json': { ...saved, modality_config: { message: {} } } }),
      'ERR_EMBEDCORE_UNSUPPORTED_MODULE',
      'message',
    )
    await refused(
      stack([], {
        'sentence_bert_config.json': { ...saved, modality_config: { text: { method: 'get_text_features' } } },
      }),
      'ERR_EMBEDCORE_UNSUPPORTED_MODULE',
      'get_text_features',
    )
    await refused(
      stack([], { 'sentence_bert_config.json': { query_length: 32 } }),
      'ERR_EMBEDCORE_UNSUPPORTED_MODULE',
      'query_length',
    )
    await refused(
      stack([], { 'sentence_bert_config.json': { tokenizer_name_or_path: 'another' } }),
      'ERR_EMBEDCORE_UNSUPPORTED_MODULE',
      'tokenizer_name_or_path',
    )
    await refused(
      stack([], { 'sentence_bert_config.json': { config_args: { is_causal: false } } }),
      'ERR_EMBEDCORE_UNSUPPORTED_MODULE',
      'is_causal',
    )
  })
})
