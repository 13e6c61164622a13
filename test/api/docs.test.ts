/**
 * The documents follow the code: docs/api.md names everything public and its examples run, docs/architecture.md names
 * files that exist. Needs `npm run build:ts`.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, test } from 'vitest'
import { ERROR_CODES } from '../../src/core/errors.js'
import * as names from '../../src/core/names.js'
import { EVALUATE_RULES, EVALUATOR_RULES } from '../../src/evaluate/options.js'
import * as face from '../../src/index.js'
import { ENCODE_RULES } from '../../src/model/encode-options.js'
import { LOAD_RULES } from '../../src/model/load-options.js'
import { LOSSES } from '../../src/train/loss-types.js'
import { TRAIN_RULES } from '../../src/train/options.js'
import { GOLDEN, ROOT } from '../support/golden.js'

const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8')
const api = read('docs/api.md')
const trainingData = read('docs/training-data.md')
const architecture = read('docs/architecture.md')

describe('docs/api.md', () => {
  test('has every function and every public method', () => {
    const hidden = ['constructor', 'release', 'run', 'alive', 'resolve', 'plan']
    const members = Object.entries(Object.getOwnPropertyDescriptors(face.Model.prototype))
    for (const name of Object.keys(face.embedCore)) expect(api).toContain(`\`${name}(`)
    for (const [name, { get }] of members)
      if (!hidden.includes(name)) expect(api).toContain(get === undefined ? `\`model.${name}(` : `\`model.${name}\``)
  })

  test.each(Object.keys({ ...LOAD_RULES, ...ENCODE_RULES }))('has the option %s', (name) =>
    expect(api).toMatch(new RegExp(`^\\| \`${name}\` \\|`, 'm')),
  )

  const evaluate = read('docs/evaluate.md')
  test.each(Object.keys(Object.assign({}, EVALUATE_RULES, ...Object.values(EVALUATOR_RULES)) as object))(
    'has the option %s of evaluate in docs/evaluate.md',
    (name) => expect(evaluate).toMatch(new RegExp(`^\\|.*\`${name}\`.*\\|.*\\|`, 'm')),
  )

  const training = read('docs/training.md')
  test.each([...Object.keys(TRAIN_RULES), ...LOSSES])(
    'has the option or loss %s of train in docs/training.md',
    (name) => expect(training).toMatch(new RegExp(`^\\|.*\`${name}\`.*\\|`, 'm')),
  )

  test.each(ERROR_CODES)('has the error %s', (code) =>
    expect(api).toContain(`\n| \`${code.replace('ERR_EMBEDCORE_', '')}\` |`),
  )

  test('has every name that an option takes', () => {
    const lists = Object.values(names).filter((list) => list !== names.ACTIVATIONS)
    for (const name of lists.flat()) expect(api).toContain(`'${name}'`)
  })

  test('has every field of info', async () => {
    const model = await face.load()
    for (const field of Object.keys(model.info)) expect(api).toContain(`\`${field}\``)
    await model.dispose()
  })

  const examples = [...(api + trainingData).matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code!)
  // One model for "the directory of any transformer model", and the import that the page begins with.
  const directory = path.join(GOLDEN, 'stack', 'mean-normalize')
  const whole = (code: string): string =>
    (/from 'embedcore'/.test(code) ? '' : "import { embedCore } from 'embedcore'\n") +
    code
      .replaceAll("'./all-MiniLM-L6-v2'", JSON.stringify(directory))
      .replaceAll("'./shop-adapter'", JSON.stringify(path.join(GOLDEN, 'adapters', 'bert-query-value')))
      .replace('maxTokens: 128', 'maxTokens: 16')

  const cache = mkdtempSync(path.join(tmpdir(), 'embedcore-docs-'))
  afterAll(() => rmSync(cache, { recursive: true }))

  test.each(examples)('runs example %#', async (code) => {
    const run = promisify(execFile)(process.execPath, ['--input-type=module', '-e', whole(code)], {
      cwd: ROOT,
      env: { ...process.env, EMBEDCORE_CACHE: cache },
    })
    await expect(run).resolves.toBeDefined()
  })
})

test('docs/architecture.md names files that exist', () => {
  const roots = ['', 'src', 'native']
  const files = [...architecture.matchAll(/`([\w-]+(?:\/[\w.-]+)*\/[\w.-]+\.(?:ts|h|cc|mjs|json|py|sh))`/g)]
  expect(files.length).toBeGreaterThan(50)
  const missing = files
    .map(([, file]) => file!)
    .filter((file) => !roots.some((root) => existsSync(path.join(ROOT, root, file))))
  expect(missing).toEqual([])
})
