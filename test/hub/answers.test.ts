/** Answers of a hub without the requested files, and invalid answers. */
import { readdir } from 'node:fs/promises'

import { describe, expect, it, vi, afterEach } from 'vitest'

import { resolveModel } from '../../src/hub/resolve.js'
import { failureOf, pick, SENTENCE_MODEL, useHub } from '../support/hub-fixture.js'

const fixture = useHub()
const ID = 'org/tiny-model'

describe('what the hub does not have or should not say', () => {
  it('is a missing repository, with both readings', async () => {
    const error = await failureOf(resolveModel('org/no-such'))
    expect(error.code).toBe('ERR_EMBEDCORE_NOT_FOUND')
    expect(error.message).toMatch(
      /received "org\/no-such": there is no such directory, and the hub at http.* has no model of that name/,
    )
  })

  it('is a missing revision', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    const error = await failureOf(resolveModel(ID, { revision: 'v9' }))
    expect(error.code).toBe('ERR_EMBEDCORE_NOT_FOUND')
    expect(error.message).toMatch(/^Expected a branch, tag or commit .* for revision but received "v9"/)
  })

  it.each(['../config.json', '/etc/passwd', 'a/../../b', 'a\\b', 'C:x', 'a//b', './a', 'a\nb'])(
    'is a file called %j',
    async (path) => {
      fixture.hub.addCommit(ID, SENTENCE_MODEL)
      fixture.hub.extraTree = [{ type: 'file', path, size: 1, oid: '0'.repeat(40) }]
      const error = await failureOf(resolveModel(ID))
      expect(error.code).toBe('ERR_EMBEDCORE_HUB')
      expect(error.message).toContain(`${JSON.stringify(path)}, which is not a plain path`)
      expect(await readdir(fixture.cacheDir)).toEqual([])
    },
  )

  it.each([
    ['modules.json', '[', /^Expected valid JSON in modules\.json/],
    [
      'model.safetensors.index.json',
      '{"weight_map":{"a":"../../x.safetensors"}}',
      /^Expected plain file names .* but found "\.\.\/\.\.\/x\.safetensors"$/,
    ],
    [
      'model.safetensors.index.json',
      '{"weight_map":{"a":"gone.safetensors"}}',
      /^Expected files of the repository .* but found "gone\.safetensors"$/,
    ],
    ['model.safetensors.index.json', '{"weight_map":{}}', /^Expected files in "weight_map" .* but found none$/],
    ['model.safetensors.index.json', '[]', /^Expected an object for "weight_map" /],
  ])('is a %s of %s', async (path, text, sentence) => {
    fixture.hub.addCommit(ID, { ...pick(SENTENCE_MODEL, ['config.json', 'tokenizer.json']), [path]: text })
    const error = await failureOf(resolveModel(ID))
    expect(error.code).toBe('ERR_EMBEDCORE_INVALID_FILE')
    expect(error.message).toMatch(sentence)
  })

  it.each([
    ['[{"path":"../../..","type":"m.T"}]', 'CONFIG', /^Expected a folder inside .* but found "\.\.\/\.\.\/\.\."$/],
    ['{}', 'FILE', /^Expected a JSON list in modules\.json of the hub repository .* but found an object$/],
    ['[]', 'CONFIG', /^modules\.json of the hub repository .* lists no module$/],
    [
      '[{"path":1}]',
      'CONFIG',
      /^Expected the name of a module class for module 0\."type" in modules\.json of the hub /,
    ],
  ])('is a modules.json of %s', async (text, code, sentence) => {
    fixture.hub.addCommit(ID, { ...pick(SENTENCE_MODEL, ['config.json', 'tokenizer.json']), 'modules.json': text })
    const error = await failureOf(resolveModel(ID))
    expect(error.code).toBe(`ERR_EMBEDCORE_INVALID_${code}`)
    expect(error.message).toMatch(sentence)
  })

  it('is an answer of another server', async () => {
    vi.stubEnv('HF_ENDPOINT', `${fixture.hub.cdnUrl}/base/`)
    expect((await failureOf(resolveModel(ID))).code).toBe('ERR_EMBEDCORE_NOT_FOUND')
    expect(fixture.hub.requests[0]!.path).toBe(`/base/api/models/${ID}/revision/main`)
  })

  it.each(['ftp://x', 'huggingface.co', 'https://user:secret@mirror.example'])(
    'is an HF_ENDPOINT of %s',
    async (value) => {
      vi.stubEnv('HF_ENDPOINT', value)
      const error = await failureOf(resolveModel(ID))
      expect(error.code).toBe('ERR_EMBEDCORE_INVALID_OPTION')
      expect(error.message).toContain('HF_ENDPOINT')
      expect(error.message).not.toContain('secret')
    },
  )
})

describe('without the package @huggingface/hub', () => {
  afterEach(() => {
    vi.doUnmock('@huggingface/hub')
    vi.resetModules()
  })

  it('the hub asks for it, and paths and cached commits still load', async () => {
    const commit = fixture.hub.addCommit(ID, SENTENCE_MODEL)
    const directory = await resolveModel(ID)
    vi.resetModules()
    vi.doMock('@huggingface/hub', () => {
      throw new Error('Cannot find package')
    })
    const again = await import('../../src/hub/resolve.js')
    const error: unknown = await again.resolveModel(ID).catch((reason: unknown) => reason)
    expect(error).toMatchObject({
      code: 'ERR_EMBEDCORE_HUB',
      message: expect.stringContaining('npm i @huggingface/hub') as string,
    })
    expect(await again.resolveModel(fixture.scratch)).toBe(fixture.scratch)
    expect(await again.resolveModel(ID, { revision: commit })).toBe(directory)
    expect(await again.resolveModel(ID, { offline: true })).toBe(directory)
  })
})
