/** Model directories for tests, written file by file, and helpers that read them or expect a refusal. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { readModelDirectory } from '../../src/model/directory.js'

let root: string
/** A directory that is deleted after the tests of the file. */
export const scratch = (): string => root
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'embedcore-directory-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

export type Files = Record<string, unknown>
export async function model(files: Files): Promise<string> {
  const folder = await mkdtemp(join(root, 'model-'))
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(
      join(folder, name),
      typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content),
    )
  }
  return folder
}
export const read = async (files: Files) => readModelDirectory(await model(files))
export const refused = async (files: Files, code: string, ...parts: string[]) => {
  const error = await read(files).then(
    () => null,
    (thrown: unknown) => thrown as Error,
  )
  expect(error).toMatchObject({ name: 'EmbedCoreError', code })
  for (const part of parts) expect(error!.message).toContain(part)
  expect(error!.message.length).toBeLessThan(600)
}

export const OLD = 'sentence_transformers.models.'
export const list = (...entries: [path: string, type: string][]) =>
  entries.map(([path, type], idx) => ({ idx, name: String(idx), path, type: type.includes('.') ? type : OLD + type }))
/** A transformer directory with the given modules after its pooling. */
export function stack(after: [string, string][] = [], files: Files = {}): Files {
  return {
    'modules.json': list(['', 'Transformer'], ['1_Pooling', 'Pooling'], ...after),
    'config.json': { model_type: 'bert' },
    'model.safetensors': '',
    '1_Pooling/config.json': { word_embedding_dimension: 8, pooling_mode_mean_tokens: true },
    ...files,
  }
}
export function safetensors(...names: string[]): Uint8Array {
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
