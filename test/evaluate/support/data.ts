/** Files of data, and what the tests of them compare. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import type { Evaluation } from '../../../src/index.js'
import { lookup } from './table.js'

/** A directory for the tests of a file. */
export function useFolder(): { path: () => string; file: (name: string, content: string | Buffer) => Promise<string> } {
  let folder = ''
  let files = 0
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'embedcore-evaluate-'))
  })
  afterAll(() => rm(folder, { recursive: true }))
  return {
    path: () => folder,
    file: async (name, content) => {
      const made = path.join(folder, `${files++}-${name}`)
      await writeFile(made, content)
      return made
    },
  }
}

/** Two numbers that tell the texts of these tests apart. */
export const model = lookup((text) => [text.length, (text.codePointAt(0) ?? 0) % 7])

export const lines = (rows: readonly object[]): string => rows.map((row) => JSON.stringify(row) + '\n').join('')

/** A result without its time. */
export const plain = ({ seconds: _seconds, ...rest }: Evaluation): object => rest

/** `path` in the message stands for the path of the file. */
export async function refused(call: Promise<unknown>, message: string, file = ''): Promise<void> {
  await expect(call).rejects.toMatchObject({
    code: 'ERR_EMBEDCORE_INVALID_DATA',
    message: expect.stringContaining(message.replaceAll('path', file)) as string,
  })
}
