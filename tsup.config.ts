import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { defineConfig } from 'tsup'

// Not tsup's own `clean`: the two builds below run side by side.
rmSync('dist', { recursive: true, force: true })

const external = [
  'csv-parse',
  'hyparquet',
  'hyparquet-compressors',
  'tokenizers',
  'umap-js',
  'node-gyp-build',
  '@huggingface/hub',
  '../native/binding/open.cjs',
  '../models/default.cjs',
]

export default defineConfig([
  {
    entry: ['src/index.ts'],
    format: ['cjs'],
    dts: true,
    target: 'node20',
    shims: true,
    external,
    // Both entries are one module: the ES module hands on the CommonJS one, so that a process that uses both has one
    // EmbedCoreError class and one default model.
    onSuccess: async () => {
      writeFileSync('dist/index.js', `export { ${exportedNames().join(', ')} } from './index.cjs'\n`)
      writeFileSync('dist/index.d.ts', "export * from './index.cjs'\n")
    },
  },
  // A worker thread runs it, by its file.
  { entry: ['src/map/umap-worker.cjs'], format: ['cjs'], target: 'node20', external },
  {
    entry: { cli: 'src/cli/main.ts' },
    format: ['esm'],
    target: 'node20',
    banner: { js: '#!/usr/bin/env node' },
    external,
  },
])

/** The names in the annotation that esbuild writes for Node's own reader of CommonJS exports. */
function exportedNames(): string[] {
  const list = /0 && \(module\.exports = \{([^}]*)\}\)/.exec(readFileSync('dist/index.cjs', 'utf8'))?.[1]
  if (list === undefined) throw new Error('dist/index.cjs does not say what it exports')
  return list
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
}
