/** The documents of the package: each relative link leads to a file, and that file is in the package too. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from '../support/golden.js'

const listing = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
  cwd: ROOT,
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'ignore'],
})
const [{ files }] = JSON.parse(listing) as [{ files: { path: string }[] }]
const packed = files.map((file) => file.path)
const documents = packed.filter((file) => file.endsWith('.md'))

test('the READMEs and docs/ are in the package', () => {
  expect(documents).toEqual(expect.arrayContaining(['README.md', 'README.zh-CN.md', 'docs/api.md', 'docs/hub.md']))
})

test.each(documents)('%s', (document) => {
  const links = [...readFileSync(path.join(ROOT, document), 'utf8').matchAll(/\]\(([^)\s#]+)/g)].map(
    ([, link]) => link!,
  )
  const missing = links
    .filter((link) => !/^[a-z]+:/.test(link))
    .filter((link) => {
      const target = path.posix.join(path.posix.dirname(document), link).replace(/\/$/, '')
      return !packed.some((file) => file === target || file.startsWith(`${target}/`))
    })
  expect(missing).toEqual([])
})
