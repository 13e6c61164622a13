// What no linter knows of: which folder of native/ may include which, and that no source grows past its subject.
import { readFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'

/** A folder may include its own files and those of these folders (docs/architecture.md). Others may not exist. */
const mayInclude = {
  base: [],
  ops: ['base'],
  reference: ['base', 'ops'],
  cpu: ['base', 'ops'],
  model: ['base', 'ops'],
  train: ['base', 'ops', 'model'],
  engine: ['base', 'ops', 'model'],
  static: ['base', 'ops'],
  linalg: ['base', 'ops'],
  binding: ['base', 'ops', 'reference', 'cpu', 'model', 'train', 'engine', 'static', 'linalg'],
}
const longest = 450
const widest = 120
const failures = []

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n')
  .filter(Boolean)
/** Numbers of the lines of a document that are wider; tables, code and headings have no line breaks. */
function wideProse(text) {
  let code = false
  return text.split('\n').flatMap((line, i) => {
    if (line.trimStart().startsWith('```')) code = !code
    return !code && !/^(\||#| {4}|<)/.test(line) && line.length > widest ? [i + 1] : []
  })
}

for (const file of files) {
  if (/^(docs|bench|cuda|examples)\/.*\.md$|^README\.md$|^test\/golden\/README\.md$/.test(file))
    for (const line of wideProse(readFileSync(file, 'utf8')))
      failures.push(`${file}:${line}: wider than ${widest} columns`)
  if (!/^(src|native|cuda|bench|test|scripts)\/.*\.(ts|mjs|cjs|cc|h|cu|cuh|py|sh)$/.test(file)) continue
  let text
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    continue // deleted in the working tree
  }
  const lines = text.split('\n')
  if (lines.length > longest) failures.push(`${file}: ${lines.length} lines; split it by subject (at most ${longest})`)
  if (!/\.py$/.test(file) && /^(src|native|cuda|test|scripts)\//.test(file))
    lines.forEach((line, i) => {
      if (line.length > widest) failures.push(`${file}:${i + 1}: ${line.length} columns (at most ${widest})`)
    })
  const folder = /^native\/(\w+)\//.exec(file)?.[1]
  if (!folder) continue
  if (!Object.hasOwn(mayInclude, folder)) {
    failures.push(`${file}: the folder native/${folder} is not in the include map`)
    continue
  }
  for (const [, included] of text.matchAll(/^#include "(\w+)\//gm))
    if (included !== folder && !mayInclude[folder].includes(included))
      failures.push(`${file} includes "${included}/", which native/${folder} may not`)
  if (folder !== 'binding' && /#include <napi\.h>/.test(text)) failures.push(`${file} includes napi.h outside binding/`)
}
for (const failure of failures) console.error(failure)
if (failures.length > 0) process.exit(1)
console.log(`tree: ${files.length} files in order`)
