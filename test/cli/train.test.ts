/** The command train, on a small trainer. */
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { trainingLine } from '../../src/cli/progress.js'
import { GOLDEN } from '../support/golden.js'
import { run } from '../support/fake-core.js'

const MODEL = path.join(GOLDEN, 'stack/mean-normalize')
let folder: string
let data: string
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'embedcore-cli-train-'))
  data = path.join(folder, 'pairs.jsonl')
  const rows = Array.from({ length: 20 }, (_, i) => ({ anchor: `fox ${i}`, positive: `dog ${i}` }))
  await writeFile(data, rows.map((row) => JSON.stringify(row)).join('\n'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('train', () => {
  test('trains from flags', async () => {
    const output = path.join(folder, 'flags')
    const { code, text, err } = await run(['train', '-m', MODEL, '-d', data, '-o', output, '--batch-size', '4'])
    expect([code, text]).toEqual([0, expect.stringMatching(/steps {7}5\n/)])
    expect(err).toContain(`step 5: saved ${output}`)
    expect(JSON.parse(readFileSync(path.join(output, 'modules.json'), 'utf8'))).toHaveLength(3)
  })

  test('prints the plan of a config and writes nothing', async () => {
    const config = path.join(folder, 'run.mjs')
    const output = path.join(folder, 'planned')
    const options = { model: MODEL, data, output, maxSteps: 40, method: { type: 'lora', rank: 4 } }
    await writeFile(config, `export default () => (${JSON.stringify(options)})`)
    const { code, text } = await run(['train', '-c', config, '--dry-run', '--epochs', '2', '--batch-size', '4'])
    expect(code).toBe(0)
    expect(text).toMatch(/^steps {10}10 \(5 an epoch\)$/m)
    expect(text).toMatch(/^method {9}LoRA of 4 matrices, rank 4, alpha 8$/m)
    expect(text).toMatch(/^memory, about {2}.* for weights, .* for a step$/m)
    expect(existsSync(output)).toBe(false)
    const { lines } = await run(['train', '-c', config, '--dry-run', '--json'])
    expect(lines[0]).toMatchObject({ steps: 40, trainedParameters: 4 * 4 * 32 })
  })

  test('prints events and the result as JSON', async () => {
    const config = path.join(folder, 'run.json')
    await writeFile(config, JSON.stringify({ model: MODEL, data, output: path.join(folder, 'json'), batchSize: 10 }))
    const { code, lines } = await run(['train', '--config', config, '--json'])
    expect(code).toBe(0)
    expect(lines.map((line) => (line as { type: string }).type)).toEqual(['begin', 'step', 'step', 'saved', 'result'])
    const again = await run(['train', '--config', config, '--json'])
    expect([again.code, again.err]).toEqual([2, expect.stringContaining('ERR_EMBEDCORE_INVALID_OPTION')])
  })

  test.each<[string[], number, string]>([
    [['x'], 2, 'train takes no arguments but flags'],
    [['--rank', '4'], 2, '--rank is for --method lora'],
    [['--epochs', '1', '--max-steps', '2'], 2, 'exclude each other'],
    [['--model', 'm'], 2, '--data is absent'],
    [['--loss', 'Cosent'], 2, '--loss is one of'],
    [['--config', 'run.yaml'], 2, '--config is a .json or .mjs file'],
    [['--config', 'none.json'], 3, 'cannot read the config none.json: no such file or folder'],
  ])('%j ends with %i', async (argv, exit, message) => {
    const { code, err } = await run(['train', ...argv])
    expect([code, err]).toEqual([exit, expect.stringContaining(message)])
  })

  test('draws a bar', () => {
    const state = { step: 30, steps: 120, loss: 0.43214, learningRate: 3e-5, tokensPerSecond: 12_345, seconds: 10 }
    expect(trainingLine({ ...state, doneBefore: 10 })).toBe(
      `${'█'.repeat(6)}${'░'.repeat(18)}  25 %  step 30/120  loss 0.4321  lr 3.0e-5  12.3 k tokens/s  ETA 0:45`,
    )
    expect(trainingLine({ ...state, steps: null, doneBefore: 0 })).toContain('step 30  loss 0.4321')
  })
})
