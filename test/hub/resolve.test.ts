/** The meaning of a name, the files that are downloaded, their places, and who receives the token. */
import { mkdir, readdir, readFile, readlink, writeFile, lstat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join, relative } from 'node:path'

import { describe, expect, it, vi } from 'vitest'

import { resolveModel } from '../../src/hub/resolve.js'
import { sha256 } from '../support/fake-hub.js'
import { failureOf, holds, NEEDED, noise, SENTENCE_MODEL, useHub, WEIGHTS } from '../support/hub-fixture.js'

const fixture = useHub()
const ID = 'org/tiny-model'

async function filesUnder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort()
}

describe('a name', () => {
  it('is a path where a directory is there, in whatever form', async () => {
    expect(await resolveModel(fixture.scratch)).toBe(fixture.scratch)
    expect(await resolveModel(`./${relative('.', fixture.scratch)}/`)).toBe(fixture.scratch)
    expect(await resolveModel('~')).toBe(homedir())
    expect(fixture.hub.requests).toEqual([])
  })

  it('is a path before it is a hub id', async () => {
    fixture.hub.addCommit('src/model', SENTENCE_MODEL)
    expect(await resolveModel('src/model')).toBe(join(process.cwd(), 'src/model'))
    expect(fixture.hub.requests).toEqual([])
  })

  it.each(['./nothing-here', '../nothing-here', '/nothing/here', '~/nothing-here', '~nobody', './a/b/c/d'])(
    'with the form of a path is never asked of the hub: %s',
    async (name) => {
      const error = await failureOf(resolveModel(name))
      expect(error.code).toBe('ERR_EMBEDCORE_NOT_FOUND')
      expect(error.message).toContain(`received ${JSON.stringify(name)}: there is no directory `)
      expect(fixture.hub.requests).toEqual([])
    },
  )

  it('that is a file asks for its directory', async () => {
    const error = await failureOf(resolveModel('package.json'))
    expect(error.code).toBe('ERR_EMBEDCORE_NOT_FOUND')
    expect(error.message).toContain('Expected the directory that holds')
  })

  it.each([
    'a/b/c',
    'org/',
    'or g/name',
    'org/na--me',
    'org/na..me',
    'org/name.git',
    '-name',
    'org/name-',
    'https://huggingface.co/org/name',
    'org/n\u0000ame',
    `org/${'x'.repeat(97)}`,
    'größe',
  ])('that can be neither is told both readings: %s', async (name) => {
    const error = await failureOf(resolveModel(name))
    expect(error.code).toBe('ERR_EMBEDCORE_NOT_FOUND')
    expect(error.message).toMatch(/there is no directory .*, and a hub id is/s)
    expect(fixture.hub.requests).toEqual([])
  })

  it('must be there', async () => {
    expect((await failureOf(resolveModel(''))).code).toBe('ERR_EMBEDCORE_INVALID_OPTION')
    expect((await failureOf(resolveModel(undefined as unknown as string))).message).toContain('but received undefined')
  })

  it.each(['../up', '/etc', 'a//b', 'a\\b', ''])('with the revision %j is refused', async (revision) => {
    const error = await failureOf(resolveModel(ID, { revision }))
    expect(error.code).toBe('ERR_EMBEDCORE_INVALID_OPTION')
    expect(fixture.hub.requests).toEqual([])
  })
})

describe('a download', () => {
  it('takes what an encoder needs and lays it out as huggingface_hub does', async () => {
    const commit = fixture.hub.addCommit(ID, SENTENCE_MODEL)
    const directory = await resolveModel(ID)
    const folder = join(fixture.cacheDir, 'models--org--tiny-model')
    expect(directory).toBe(join(folder, 'snapshots', commit))
    expect(await filesUnder(directory)).toEqual(NEEDED)
    for (const path of NEEDED) expect(await holds(join(directory, path), SENTENCE_MODEL[path]!), path).toBe(true)
    expect(await readlink(join(directory, 'model.safetensors'))).toBe(join('..', '..', 'blobs', sha256(WEIGHTS)))
    expect(await readlink(join(directory, '1_Pooling/config.json'))).toMatch(/^\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/)
    expect(await readFile(join(folder, 'refs', 'main'), 'utf8')).toBe(commit)
    expect(await filesUnder(join(fixture.cacheDir, '.locks'))).toEqual([])
    // `vocab.txt` etc. may share contents: as many blobs as different ones, and nothing unfinished.
    expect((await readdir(join(folder, 'blobs'))).every((name) => /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(name))).toBe(
      true,
    )
  })

  it('asks once more at the next load, and not at all for a commit', async () => {
    const commit = fixture.hub.addCommit(ID, SENTENCE_MODEL)
    const directory = await resolveModel(ID)
    fixture.hub.requests.length = 0
    expect(await resolveModel(ID)).toBe(directory)
    expect(fixture.hub.requests.map((request) => request.path)).toEqual([`/api/models/${ID}/revision/main`])
    fixture.hub.requests.length = 0
    expect(await resolveModel(ID, { revision: commit })).toBe(directory)
    expect(fixture.hub.requests).toEqual([])
  })

  it('follows a branch that moved and keeps contents that did not change', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    const before = await resolveModel(ID)
    fixture.hub.addCommit(ID, { ...SENTENCE_MODEL, 'config.json': '{"model_type": "roberta"}' })
    fixture.hub.requests.length = 0
    const after = await resolveModel(ID)
    expect(after).not.toBe(before)
    expect(await readFile(join(after, 'config.json'), 'utf8')).toContain('roberta')
    expect(
      fixture.hub.requests.filter((request) => request.path.includes('/resolve/')).map((request) => request.path),
    ).toEqual([expect.stringMatching(/config\.json$/)])
  })

  it('takes a branch, a pull request and a pinned commit', async () => {
    const other = fixture.hub.addCommit(ID, { ...SENTENCE_MODEL, 'vocab.txt': 'a\n' }, 'v1.0')
    const request = fixture.hub.addCommit(ID, { ...SENTENCE_MODEL, 'vocab.txt': 'b\n' }, 'refs/pr/3')
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    expect(await resolveModel(ID, { revision: 'v1.0' })).toContain(other)
    expect(await resolveModel(ID, { revision: 'refs/pr/3' })).toContain(request)
    expect(await readFile(join(fixture.cacheDir, 'models--org--tiny-model/refs/refs/pr/3'), 'utf8')).toBe(request)
  })

  it('reads the listing page by page, and a name without an organisation', async () => {
    fixture.hub.addCommit('tiny', SENTENCE_MODEL)
    fixture.hub.pageSize = 3
    expect(await filesUnder(await resolveModel('tiny'))).toEqual(NEEDED)
    expect(fixture.hub.requests.filter((request) => request.path.includes('/tree/')).length).toBe(6)
    expect(await readdir(fixture.cacheDir)).toContain('models--tiny')
  })

  it('takes shards by their index, and the weights of modules', async () => {
    const shards = {
      'model-00001-of-00002.safetensors': noise(5000, 5),
      'model-00002-of-00002.safetensors': noise(6000, 6),
    }
    const modules = JSON.stringify([
      { path: '0_Transformer', type: 'sentence_transformers.models.Transformer' },
      { path: './1_Pooling/', type: 'sentence_transformers.models.Pooling' },
      { path: '2_Dense', type: 'sentence_transformers.models.Dense' },
    ])
    fixture.hub.addCommit(ID, {
      'modules.json': modules,
      '0_Transformer/config.json': '{}',
      '0_Transformer/tokenizer.json': '{}',
      '0_Transformer/model.safetensors.index.json': JSON.stringify({
        weight_map: {
          a: 'model-00001-of-00002.safetensors',
          b: 'model-00002-of-00002.safetensors',
          c: 'model-00001-of-00002.safetensors',
        },
      }),
      ...Object.fromEntries(Object.entries(shards).map(([name, bytes]) => [`0_Transformer/${name}`, bytes])),
      '0_Transformer/pytorch_model.bin': noise(10),
      '1_Pooling/config.json': '{}',
      '2_Dense/config.json': '{"in_features": 4}',
      '2_Dense/model.safetensors': noise(700, 7),
      '2_Dense/pytorch_model.bin': noise(10),
      '3_Unused/model.safetensors': noise(10),
    })
    expect(await filesUnder(await resolveModel(ID))).toEqual([
      '0_Transformer/config.json',
      '0_Transformer/model-00001-of-00002.safetensors',
      '0_Transformer/model-00002-of-00002.safetensors',
      '0_Transformer/model.safetensors.index.json',
      '0_Transformer/tokenizer.json',
      '1_Pooling/config.json',
      '2_Dense/config.json',
      '2_Dense/model.safetensors',
      'modules.json',
    ])
  })

  it.each([
    [
      'no safetensors',
      { 'config.json': '{}', 'tokenizer.json': '{}', 'pytorch_model.bin': 'x', 'training_args.bin': 'x' },
      /^Expected model\.safetensors .* but found pytorch_model\.bin, which/,
    ],
    [
      'an adapter',
      { ...SENTENCE_MODEL, 'adapter_config.json': '{"peft_type":"LORA"}', 'adapter_model.safetensors': 'x' },
      /adapter_config\.json .*with the option adapter$/,
    ],
    ['an adapter alone', { 'adapter_config.json': '{}', 'adapter_model.safetensors': 'x' }, /with the option adapter$/],
    ['no config', { 'README.md': '# data' }, /^Expected config\.json or modules\.json .* but found none$/],
    [
      'a module with other weights only',
      {
        ...SENTENCE_MODEL,
        'modules.json':
          '[{"path":"","type":"sentence_transformers.models.Transformer"},' +
          '{"path":"2_Dense","type":"sentence_transformers.models.Dense"}]',
        '2_Dense/config.json': '{}',
        '2_Dense/pytorch_model.bin': 'x',
      },
      /^Expected 2_Dense\/model\.safetensors/,
    ],
  ])('is refused before it begins where there is %s', async (_, files, sentence) => {
    fixture.hub.addCommit(ID, files)
    const error = await failureOf(resolveModel(ID))
    expect(error.code).toBe('ERR_EMBEDCORE_UNSUPPORTED_MODEL')
    expect(error.message).toMatch(sentence)
    expect(
      fixture.hub.requests.filter(
        (request) => request.path.includes('/resolve/') && !request.path.endsWith('modules.json'),
      ),
    ).toEqual([])
  })

  it('reports the bytes of each file, up to its size', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    const seen = new Map<string, { loaded: number; total: number }[]>()
    await resolveModel(ID, { onProgress: ({ file, ...bytes }) => seen.set(file, [...(seen.get(file) ?? []), bytes]) })
    expect([...seen.keys()].filter((file) => file.endsWith('.safetensors'))).toEqual(['model.safetensors'])
    for (const [file, steps] of seen) {
      const total = Buffer.from(SENTENCE_MODEL[file]!).length
      expect(steps[0]).toEqual({ loaded: 0, total })
      expect(steps.at(-1)).toEqual({ loaded: total, total })
      expect(steps.map((step) => step.loaded)).toEqual(steps.map((step) => step.loaded).sort((a, b) => a - b))
      expect(steps.filter((step) => step.loaded === total).length).toBe(1)
    }
    const again: unknown[] = []
    await resolveModel(ID, { onProgress: (progress) => again.push(progress) })
    expect(again).toEqual([])
  })

  it('ends with the error that onProgress throws', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    const mine = new Error('mine')
    await expect(
      resolveModel(ID, {
        onProgress: () => {
          throw mine
        },
      }),
    ).rejects.toBe(mine)
    expect(await resolveModel(ID)).toContain('snapshots')
  })

  it('makes files instead of links where links are not wanted', async () => {
    vi.stubEnv('HF_HUB_DISABLE_SYMLINKS', '1')
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    const directory = await resolveModel(ID)
    expect((await lstat(join(directory, 'model.safetensors'))).isFile()).toBe(true)
    expect(await holds(join(directory, 'model.safetensors'), WEIGHTS)).toBe(true)
    expect(await filesUnder(directory)).toEqual(NEEDED)
  })

  it('asks each file for its name where a mirror lists none', async () => {
    fixture.hub.bareTree = true
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    const directory = await resolveModel(ID)
    expect(await readlink(join(directory, 'model.safetensors'))).toBe(join('..', '..', 'blobs', sha256(WEIGHTS)))
    expect(
      fixture.hub.requestsFor('model.safetensors').map((request) => `${request.origin} ${request.method}`),
    ).toEqual(['hub HEAD', 'hub GET', 'cdn GET'])
  })

  it('needs no xet', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    await resolveModel(ID)
    expect(fixture.hub.requests.filter((request) => /xet/.test(request.accept ?? ''))).toEqual([])
  })

  it('says what to do where the cache cannot be written', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    const cacheDir = join(fixture.scratch, 'file')
    await writeFile(cacheDir, '')
    const error = await failureOf(resolveModel(ID, { cacheDir }))
    expect(error.code).toBe('ERR_EMBEDCORE_HUB')
    expect(error.message).toMatch(
      new RegExp(`could not be kept in the hub cache ${cacheDir}: .*; set cacheDir or HF_HUB_CACHE`),
    )
  })
})

describe('the cache directory', () => {
  it.each([
    ['cacheDir', (): Record<string, string> => ({ HF_HUB_CACHE: '/not/this' }), '', true],
    ['HF_HUB_CACHE', (folder: string) => ({ HF_HUB_CACHE: folder, HUGGINGFACE_HUB_CACHE: '/not/this' }), '', false],
    ['HUGGINGFACE_HUB_CACHE', (folder: string) => ({ HUGGINGFACE_HUB_CACHE: folder, HF_HOME: '/not/this' }), '', false],
    ['HF_HOME', (folder: string) => ({ HF_HOME: folder, XDG_CACHE_HOME: '/not/this' }), 'hub', false],
    ['XDG_CACHE_HOME', (folder: string) => ({ XDG_CACHE_HOME: folder }), 'huggingface/hub', false],
    ['a variable in a variable', (folder: string) => ({ MINE: folder, HF_HOME: '${MINE}/home' }), 'home/hub', false],
  ])('is that of %s', async (_, variables, below, option) => {
    const folder = join(fixture.scratch, 'chosen')
    vi.stubEnv('HF_HUB_CACHE', undefined)
    vi.stubEnv('HF_HOME', undefined)
    for (const [name, value] of Object.entries(variables(folder))) vi.stubEnv(name, value)
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    expect(await resolveModel(ID, option ? { cacheDir: folder } : {})).toContain(
      join(folder, below, 'models--org--tiny-model'),
    )
  })
})

describe('the token', () => {
  const TOKEN = 'hf_secretsecretsecret'

  it('goes to the hub and never to another origin', async () => {
    fixture.hub.token = TOKEN
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    await resolveModel(ID, { token: TOKEN })
    const weights = fixture.hub.requestsFor('model.safetensors')
    expect(weights.map((request) => request.origin)).toEqual(['hub', 'cdn'])
    for (const request of fixture.hub.requests)
      expect(request.authorization).toBe(request.origin === 'hub' ? `Bearer ${TOKEN}` : undefined)
  })

  it.each(['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN', 'HF_TOKEN_PATH', 'HF_HOME'])('is read from %s', async (name) => {
    const token = 'token-of-a-mirror'
    fixture.hub.token = token
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    await mkdir(join(fixture.scratch, 'home'))
    const file = join(fixture.scratch, 'home', 'token')
    if (name.endsWith('TOKEN')) vi.stubEnv(name, `${token}\n`)
    else await writeFile(file, `${token}\n`)
    if (name === 'HF_TOKEN_PATH') vi.stubEnv(name, file)
    if (name === 'HF_HOME') vi.stubEnv(name, join(fixture.scratch, 'home'))
    expect(await resolveModel(ID)).toContain('snapshots')
    await failureOf(resolveModel(ID, { token: 'hf_other' }))
    vi.stubEnv('HF_HUB_DISABLE_IMPLICIT_TOKEN', '1')
    expect((await failureOf(resolveModel(ID))).message).toContain('without a token (401)')
  })

  it.each([
    ['none', undefined, /refuses "org\/tiny-model" without a token \(401\).*set HF_TOKEN or the token option/],
    ['a wrong one', TOKEN, /refuses "org\/tiny-model" with the token in use \(401\)/],
  ])('missing or wrong is told apart: %s', async (_, token, sentence) => {
    fixture.hub.token = 'hf_right'
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    const error = await failureOf(resolveModel(ID, { token }))
    expect(error.code).toBe('ERR_EMBEDCORE_HUB')
    expect(error.message).toMatch(sentence)
    expect(error.message).toContain('Invalid username or password')
    expect(fixture.hub.requests.length).toBe(1)
  })

  it('is in no error, even where the server or the header rules would show it', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    for (const token of [TOKEN, `${TOKEN}\nX: y`, `${TOKEN}é`]) {
      fixture.hub.faults = [
        { path: /./, kind: 'status', status: 403, headers: { 'x-error-message': `bad token ${TOKEN}` } },
      ]
      const error = await failureOf(resolveModel(ID, { token }))
      let text = ''
      for (let at: unknown = error; at instanceof Error; at = at.cause)
        text += `${at.message} ${at.stack} ${JSON.stringify(at)}`
      expect(text).not.toContain(TOKEN)
    }
    expect(fixture.hub.requests.length).toBe(1)
  })

  it('without the right to a gated repository leads to its page', async () => {
    fixture.hub.addCommit(ID, SENTENCE_MODEL)
    fixture.hub.faults = [{ path: /resolve/, kind: 'status', status: 403, headers: { 'x-error-code': 'GatedRepo' } }]
    const error = await failureOf(resolveModel(ID, { token: TOKEN }))
    expect(error.code).toBe('ERR_EMBEDCORE_HUB')
    expect(error.message).toContain(`gated or restricted; ask for access at ${fixture.hub.url}/${ID}`)
  })
})
