/**
 * The built package in applications: both entries in one process, vm contexts without newer symbols, file tracers.
 * Needs `npm run build:ts`.
 */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const require = createRequire(import.meta.url)
const dist = (name: string) => path.join(ROOT, 'dist', name)
const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8')

beforeAll(() => expect(existsSync(dist('index.cjs')), 'run npm run build:ts').toBe(true))

/** Output of a script in a separate process. */
async function node(type: 'module' | 'commonjs', script: string): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [`--input-type=${type}`, '-e', script], { cwd: ROOT })
  return stdout.trim()
}

describe('ES module and CommonJS in one process', () => {
  test('have one class of errors, one Model and one default model', async () => {
    const script = `
      import { createRequire } from 'node:module'
      import * as esm from ${JSON.stringify(dist('index.js'))}
      const cjs = createRequire(import.meta.url)(${JSON.stringify(dist('index.cjs'))})
      const error = await cjs.embedCore.encode(5).catch((e) => e)
      const model = await cjs.load()
      await Promise.all([esm.encode('x'), cjs.encode('x')])
      console.log(JSON.stringify([
        error instanceof esm.EmbedCoreError, esm.EmbedCoreError === cjs.EmbedCoreError, model instanceof esm.Model,
        esm.encode === cjs.encode, Object.keys(esm).sort().join() === Object.keys(cjs).sort().join(),
      ]))`
    expect(JSON.parse(await node('module', script))).toEqual([true, true, true, true, true])
  })

  test('export the same names', async () => {
    const names = [
      'EmbedCoreError',
      'LinearTransform',
      'Model',
      'StaticVectors',
      'TrainingRun',
      'checkBaseline',
      'compareEvaluations',
      'devices',
      'embedCore',
      'encode',
      'evaluate',
      'evaluateRun',
      'evaluationReport',
      'fitAllButTheTop',
      'fitPca',
      'fitProcrustes',
      'fitWhitening',
      'load',
      'loadStatic',
      'mapReport',
      'mapTexts',
      'mineHardNegatives',
      'mtebResult',
      'planTraining',
      'quantizationRanges',
      'readBaseline',
      'similarity',
      'train',
      'trainStatic',
      'writeBaseline',
      'writeItems',
      'writeMtebResult',
      'writeRun',
    ]
    expect(Object.keys((await import(dist('index.js'))) as object).sort()).toEqual(names)
    expect(Object.keys(require(dist('index.cjs')) as object).sort()).toEqual(names)
  })
})

describe('in a vm context without Symbol.dispose, as Jest and Vitest make them', () => {
  const script = `
    const vm = require('node:vm'), fs = require('node:fs'), path = require('node:path')
    const { createRequire, wrap } = require('node:module')
    const file = ${JSON.stringify(dist('index.cjs'))}
    const context = vm.createContext({
      process, Buffer, URL, AbortController, AbortSignal, console, performance, setTimeout, clearTimeout,
    })
    vm.runInContext('delete Symbol.dispose; delete Symbol.asyncDispose', context)
    const made = { exports: {} }
    vm.runInContext(wrap(fs.readFileSync(file, 'utf8')), context, { filename: file })(
      made.exports, createRequire(file), made, file, path.dirname(file))
    const { load } = made.exports
    ;(async () => {
      const model = await load()
      const { shape } = await model.encode(['a', 'b'])
      const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(model))
      await model.dispose()
      const error = await model.encode('x').catch((e) => e)
      console.log(JSON.stringify([shape, methods.includes('undefined'), error.code]))
    })()`

  test('dispose() frees the model', async () => {
    expect(JSON.parse(await node('commonjs', script))).toEqual([[2, 256], false, 'ERR_EMBEDCORE_DISPOSED'])
  })
})

describe('file tracers and bundlers', () => {
  // They follow require() of a literal and the folder named by join(__dirname, a literal); they follow neither
  // createRequire(import.meta.url)(...) in a bundle nor a path made of import.meta.url.
  test('the ES module leads to the CommonJS one', () => {
    expect(read('dist/index.js')).toMatch(/^export \{ [\w, ]+ \} from '\.\/index\.cjs'\n$/)
    expect(read('dist/index.d.ts')).toBe("export * from './index.cjs'\n")
  })

  test('the CommonJS one requires addon and model by literals, each of which exists', () => {
    const code = read('dist/index.cjs')
    for (const file of ['../native/binding/open.cjs', '../models/default.cjs']) {
      expect(code).toContain(`require("${file}")`)
      expect(existsSync(path.join(ROOT, 'dist', file))).toBe(true)
    }
    expect(read('native/binding/open.cjs')).toContain("require('./load.cjs')")
    expect(read('native/binding/load.cjs')).toContain("require('node-gyp-build')(join(__dirname, '..', '..'))")
  })

  test('the model is named by a folder beside the file that names it', () => {
    const folder = /join\(__dirname, '([\w-]+)'\)/.exec(read('models/default.cjs'))?.[1]
    expect(existsSync(path.join(ROOT, 'models', folder ?? 'no literal', 'modules.json'))).toBe(true)
  })

  test('what they lead to is packed', () => {
    const { files } = require(path.join(ROOT, 'package.json')) as { files: string[] }
    expect(files).toEqual(expect.arrayContaining(['dist', 'models', 'native', 'prebuilds']))
  })
})
