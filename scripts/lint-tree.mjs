// What no linter knows of: each room of native/ uses only those above it (docs: DESIGN order), and no source grows past
// its subject.
import { readFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'

const order = ['base', 'ops', 'reference', 'cpu', 'model', 'train', 'engine', 'binding']
const longest = 550
const failures = []

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n')
  .filter(Boolean)
for (const file of files) {
  if (!/^(src|native|cuda|bench|test|scripts)\/.*\.(ts|mjs|cjs|cc|h|py|sh)$/.test(file)) continue
  let text
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    continue // deleted in the working tree
  }
  const lines = text.split('\n').length
  if (lines > longest) failures.push(`${file}: ${lines} lines; split it by subject (at most ${longest})`)
  const room = /^native\/(\w+)\//.exec(file)?.[1]
  if (!room) continue
  for (const [, included] of text.matchAll(/^#include "(\w+)\//gm)) {
    if (order.indexOf(included) > order.indexOf(room))
      failures.push(`${file} includes "${included}/", which lies below ${room}/`)
    if (room === 'cpu' && included === 'reference') failures.push(`${file} includes the reference`)
  }
  if (room !== 'binding' && /#include <napi\.h>/.test(text)) failures.push(`${file} includes napi.h outside binding/`)
}
for (const failure of failures) console.error(failure)
if (failures.length > 0) process.exit(1)
console.log(`tree: ${files.length} files in order`)
