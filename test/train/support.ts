/** Shared by the tests of training data. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll } from 'vitest'
import type { OpenSource } from '../../src/train/data/open.js'
import type { Row } from '../../src/train/data/rows.js'

/** A directory for the files of a test file, removed at its end. */
export function filesDirectory(): { directory: string; file: (name: string, content: string | Uint8Array) => string } {
  const directory = mkdtempSync(path.join(tmpdir(), 'embedcore-data-'))
  afterAll(() => rmSync(directory, { recursive: true, force: true }))
  return {
    directory,
    file(name, content) {
      const full = path.join(directory, name)
      writeFileSync(full, content)
      return full
    },
  }
}

/** All rows of a source, in order. */
export async function readAll({ rows, stream }: OpenSource): Promise<Row[]> {
  if (rows !== null) return rows.read(Uint32Array.from({ length: rows.facts.count }, (_, i) => i))
  const all: Row[] = []
  await stream!.restart()
  for (let next = await stream!.next(); next !== null; next = await stream!.next()) all.push(next.row)
  return all
}

/** A small generator of numbers for tests, in [0, 1). */
export function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}
