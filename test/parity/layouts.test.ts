/**
 * Directories where files other than tokenizer.json change ids or attention: ids and vectors compared with the
 * reference.
 */
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { embedCore } from '../../src/index.js'
import { complaint, deviation, GOLDEN, readJson, tolerance } from '../support/golden.js'

interface Golden {
  texts: string[]
  ids: number[][]
  vectors: number[][]
}

const LAYOUTS = path.join(GOLDEN, 'layouts')

describe.each(readdirSync(LAYOUTS))('%s', (name) => {
  test('ids and vectors', async () => {
    const directory = path.join(LAYOUTS, name)
    const { texts, ids, vectors } = readJson<Golden>(path.join(directory, 'golden.json'))
    await using model = await embedCore.load(directory)
    const tokens = await model.encode(texts, { output: 'token' })
    expect(texts.map((_, i) => [...tokens.text(i).ids])).toEqual(ids)
    const found = await model.encode(texts)
    const far = deviation(found.data, Float32Array.from(vectors.flat()), found.shape[1])
    expect(complaint(name, far, tolerance(model.info.layers))).toBeNull()
  })
})
