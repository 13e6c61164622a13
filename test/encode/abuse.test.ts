/**
 * The scripts of test/abuse, each in a separate process, with the built package. scripts/sanitize.sh runs the same
 * scripts under sanitizers.
 */
import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { ROOT } from '../support/golden.js'

const ABUSE = path.join(ROOT, 'test/abuse')

it('the package is built', () =>
  expect(existsSync(path.join(ROOT, 'dist/index.js')), 'run npm run build:ts').toBe(true))

it.each(readdirSync(ABUSE).filter((name) => name.endsWith('.mjs')))('%s', { timeout: 300_000 }, async (name) => {
  const { stdout } = await promisify(execFile)(process.execPath, [path.join(ABUSE, name)], { timeout: 290_000 })
  expect(stdout).toMatch(/\S/)
})
