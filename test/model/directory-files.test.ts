/** Prompts and similarity of a model directory, and files that are broken. */
import { mkdir, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readModelDirectory } from '../../src/model/directory.js'
import { resolvePrompt } from '../../src/model/prompts.js'
import { list, model, OLD, read, refused, stack } from '../support/model-files.js'

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
