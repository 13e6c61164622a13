/**
 * Shared by the hub tests: a fake hub, an empty cache and a clean environment for each test, and the files of small
 * models.
 */
import { mkdtemp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'

import { afterEach, beforeEach, vi } from 'vitest'

import { EmbedCoreError } from '../../src/core/errors.js'
import { etagOf, FakeHub, type FakeFiles } from './fake-hub.js'

/** Bytes without a pattern, the same in every run, so that a byte in the wrong place is noticed. */
export function noise(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  let state = seed
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

export const WEIGHTS = noise(400_000)

/** A sentence-transformers repository with files that an encoder needs and others. */
export const SENTENCE_MODEL: FakeFiles = {
  '.gitattributes': '*.safetensors filter=lfs diff=lfs merge=lfs -text\n',
  'README.md': '# model\n',
  'config.json': '{"model_type": "bert"}',
  'tokenizer.json': '{"version": "1.0"}',
  'tokenizer_config.json': '{}',
  'special_tokens_map.json': '{}',
  'vocab.txt': '[PAD]\n',
  'modules.json': JSON.stringify([
    { idx: 0, name: '0', path: '', type: 'sentence_transformers.models.Transformer' },
    { idx: 1, name: '1', path: '1_Pooling', type: 'sentence_transformers.models.Pooling' },
    { idx: 2, name: '2', path: '2_Normalize', type: 'sentence_transformers.models.Normalize' },
  ]),
  'config_sentence_transformers.json': '{"prompts": {}}',
  'sentence_bert_config.json': '{"max_seq_length": 256}',
  '1_Pooling/config.json': '{"pooling_mode_mean_tokens": true}',
  'model.safetensors': WEIGHTS,
  'pytorch_model.bin': noise(100, 2),
  'onnx/model.onnx': noise(100, 3),
  'onnx/config.json': '{}',
  'openvino/openvino_model.bin': noise(100, 4),
  'train_script.py': 'print()\n',
}

/** The files of SENTENCE_MODEL that an encoder needs. */
export const NEEDED = [
  '1_Pooling/config.json',
  'config.json',
  'config_sentence_transformers.json',
  'model.safetensors',
  'modules.json',
  'sentence_bert_config.json',
  'special_tokens_map.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.txt',
]

export interface HubFixture {
  hub: FakeHub
  /** An empty directory, which HF_HUB_CACHE names. */
  cacheDir: string
  /** Another empty directory. */
  scratch: string
}

const VARIABLES = [
  'HF_ENDPOINT',
  'HF_HOME',
  'HF_HUB_CACHE',
  'HUGGINGFACE_HUB_CACHE',
  'XDG_CACHE_HOME',
  'HF_TOKEN',
  'HUGGING_FACE_HUB_TOKEN',
  'HF_TOKEN_PATH',
  'HF_HUB_OFFLINE',
  'TRANSFORMERS_OFFLINE',
  'HF_HUB_DISABLE_SYMLINKS',
  'HF_HUB_DISABLE_IMPLICIT_TOKEN',
  'HF_HUB_ETAG_TIMEOUT',
  'HF_HUB_DOWNLOAD_TIMEOUT',
]

export function useHub(): HubFixture {
  const fixture = {} as HubFixture
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'embedcore-hub-'))
    fixture.hub = await FakeHub.start()
    fixture.cacheDir = join(folder, 'cache')
    fixture.scratch = join(folder, 'scratch')
    await Promise.all([mkdir(fixture.cacheDir), mkdir(fixture.scratch)])
    for (const name of VARIABLES) vi.stubEnv(name, undefined)
    vi.stubEnv('HF_ENDPOINT', fixture.hub.url)
    vi.stubEnv('HF_HOME', fixture.scratch)
    vi.stubEnv('HF_HUB_CACHE', fixture.cacheDir)
  })
  afterEach(async () => {
    vi.unstubAllEnvs()
    await fixture.hub.close()
    await rm(folder, { recursive: true, force: true })
  })
  return fixture
}

/** Compares bytes, because a deep comparison of a buffer this long takes a second. */
export async function holds(file: string, bytes: Buffer | string): Promise<boolean> {
  return (await readFile(file)).equals(Buffer.from(bytes))
}

export async function failureOf(work: Promise<unknown>): Promise<EmbedCoreError> {
  const error = await work.then(
    (value) => new Error(`resolved with ${String(value)}`),
    (reason: unknown) => reason,
  )
  if (!(error instanceof EmbedCoreError)) throw new Error('not an EmbedCoreError', { cause: error })
  return error
}

/** A snapshot as huggingface_hub writes it: blobs by etag, relative links, the ref without a line break. */
export async function writePythonCache(
  cacheDir: string,
  repository: string,
  commit: string,
  files: FakeFiles,
  branch = 'main',
): Promise<string> {
  const folder = join(cacheDir, `models--${repository.replace('/', '--')}`)
  const snapshot = join(folder, 'snapshots', commit)
  for (const [path, text] of Object.entries(files)) {
    const bytes = Buffer.from(text)
    const blob = join(folder, 'blobs', etagOf(path, bytes))
    const pointer = join(snapshot, path)
    await mkdir(dirname(blob), { recursive: true })
    await mkdir(dirname(pointer), { recursive: true })
    await writeFile(blob, bytes)
    await symlink(relative(dirname(pointer), blob), pointer)
  }
  await mkdir(join(folder, 'refs'), { recursive: true })
  await writeFile(join(folder, 'refs', branch), commit)
  return snapshot
}

export function pick(files: FakeFiles, names: string[]): FakeFiles {
  return Object.fromEntries(names.map((name) => [name, files[name]!]))
}
