import { rmSync } from 'node:fs'
import { defineConfig } from 'tsup'

// Not tsup's own `clean`: the two builds below run side by side.
rmSync('dist', { recursive: true, force: true })

export default defineConfig([
  {
    entry: ['src/index.ts'],
    format: ['esm', 'cjs'],
    dts: true,
    target: 'node20',
    shims: true,
    external: ['csv-parse', 'tokenizers', 'node-gyp-build', '@huggingface/hub'],
  },
  {
    entry: { cli: 'src/cli/main.ts' },
    format: ['esm'],
    target: 'node20',
    banner: { js: '#!/usr/bin/env node' },
    external: ['csv-parse', 'tokenizers', 'node-gyp-build', '@huggingface/hub'],
  },
])
