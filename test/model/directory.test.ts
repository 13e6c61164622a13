import { existsSync } from 'node:fs'
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readModelDirectory } from '../../src/model/directory.js'
import { resolvePrompt } from '../../src/model/prompts.js'
import { type Files, list, model, OLD, read, refused, scratch, stack } from '../support/model-files.js'

const MODELS = '../shared/models'
const present = existsSync(MODELS)
if (!present) console.log(`skipped: descriptions of real models, because ${MODELS} is not there`)

function safetensors(...names: string[]): Uint8Array {
  const header = Buffer.from(
    JSON.stringify({
      __metadata__: {},
      ...Object.fromEntries(names.map((name) => [name, { dtype: 'F32', shape: [0], data_offsets: [0, 0] }])),
    }),
  )
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  return Buffer.concat([length, header])
}

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
      layerCount: 3,
      dimension: 8,
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

describe('prompts and similarity', () => {
  const general = async (content: object) => read(stack([], { 'config_sentence_transformers.json': content }))

  test('prompts, the default one, similarity, truncate_dim', async () => {
    const made = await general({
      prompts: { query: 'q: ', passage: 'p: ', document: null, __proto__x: 'x' },
      default_prompt_name: 'passage',
      similarity_fn_name: 'dot',
      truncate_dim: 4,
    })
    expect(made).toMatchObject({
      prompts: { query: 'q: ', passage: 'p: ', document: '' },
      defaultPromptName: 'passage',
      similarity: 'dot',
      dimensions: 4,
    })
    expect(resolvePrompt(made, {})).toBe('p: ')
    expect(resolvePrompt(made, { promptName: 'query' })).toBe('q: ')
    expect(resolvePrompt(made, { prompt: '' })).toBe('')
    expect(() => resolvePrompt(made, { promptName: 'quer' })).toThrow(
      expect.objectContaining({
        code: 'ERR_EMBEDCORE_INVALID_OPTION',
        message: expect.stringContaining('"query", "document", "passage"') as string,
      }),
    )
    expect(() => resolvePrompt(made, { promptName: 'constructor' })).toThrow('"constructor"')
    expect(() => resolvePrompt(made, { prompt: 'a', promptName: 'query' })).toThrow('both')
    expect(resolvePrompt(await read(stack()), {})).toBe('')
  })

  test('a prompt may have any name', async () => {
    const made = await read(stack([], { 'config_sentence_transformers.json': '{"prompts": {"__proto__": "x: "}}' }))
    expect(resolvePrompt(made, { promptName: '__proto__' })).toBe('x: ')
  })

  test('wrong values', async () => {
    const wrong = async (content: object, ...parts: string[]) =>
      refused(
        stack([], { 'config_sentence_transformers.json': content }),
        'ERR_EMBEDCORE_INVALID_CONFIG',
        'config_sentence_transformers.json',
        ...parts,
      )
    await wrong({ default_prompt_name: 'nope' }, '"nope"')
    await wrong({ similarity_fn_name: 'cos' }, '"cos"')
    await wrong({ prompts: { query: 3 } }, 'query', '3')
    await wrong({ truncate_dim: -1 }, '-1')
    await wrong({ default_prompt_name: 'x'.repeat(1 << 20) }, '1048576 characters')
  })
})

describe('broken files', () => {
  test('JSON that is none, or none of ours', async () => {
    for (const content of [
      '',
      '{',
      'null',
      '3',
      '{}',
      '"modules"',
      '[3]',
      '[null]',
      '[[]]',
      `${'['.repeat(200_000)}`,
      `${'[{"a":'.repeat(50_000)}`,
      '\u0000',
    ]) {
      await refused({ ...stack(), 'modules.json': content }, 'ERR_EMBEDCORE_INVALID_FILE', 'modules.json')
    }
    await refused({ ...stack(), 'modules.json': '[]' }, 'ERR_EMBEDCORE_INVALID_CONFIG', 'no module')
    for (const name of [
      'config_sentence_transformers.json',
      'sentence_bert_config.json',
      '1_Pooling/config.json',
      'config.json',
      'tokenizer_config.json',
    ]) {
      for (const content of ['{', '[]', 'null'])
        await refused({ ...stack(), [name]: content }, 'ERR_EMBEDCORE_INVALID_FILE', join(name))
    }
    for (const entry of [
      { path: '' },
      { type: 3 },
      { type: `${OLD}Transformer`, idx: 'x' },
      { type: `${OLD}Transformer`, path: 3 },
    ])
      await refused({ ...stack(), 'modules.json': [entry] }, 'ERR_EMBEDCORE_INVALID_CONFIG', 'modules.json')
  })

  test('a byte order mark is accepted', async () => {
    const files = stack()
    expect(await read({ ...files, 'modules.json': `\ufeff${JSON.stringify(files['modules.json'])}` })).toMatchObject({
      kind: 'transformer',
    })
  })

  test('paths that leave the directory, links that lead nowhere, directories in the place of files', async () => {
    for (const path of ['..', '../other', 'a/../../b', '/etc', 'C:\\x', '..\\x', 'a\0b'])
      await refused(
        { ...stack(), 'modules.json': list([path, 'Transformer']) },
        'ERR_EMBEDCORE_INVALID_CONFIG',
        'inside the model directory',
      )
    const looped = await model(stack())
    await rm(join(looped, '1_Pooling'), { recursive: true })
    await symlink('1_Pooling', join(looped, '1_Pooling'))
    await expect(readModelDirectory(looped)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_FILE',
      message: expect.stringContaining('ELOOP') as string,
    })
    const folder = await model(stack())
    await mkdir(join(folder, 'tokenizer_config.json'))
    await expect(readModelDirectory(folder)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_FILE',
      message: expect.stringContaining('a directory') as string,
    })
  })

  test('a file too large to be a configuration is not read', async () => {
    await refused({ ...stack(), 'modules.json': ' '.repeat(17 * 1024 * 1024) }, 'ERR_EMBEDCORE_INVALID_FILE', 'bytes')
  })
})
