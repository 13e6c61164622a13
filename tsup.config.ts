import { defineConfig } from 'tsup'

export default defineConfig([
  {
    entry: ['src/index.ts'],
    format: ['esm', 'cjs'],
    dts: true,
    target: 'node20',
    clean: true,
    shims: true,
    external: ['tokenizers', 'node-gyp-build', '@huggingface/hub'],
  },
  {
    entry: { cli: 'src/cli/main.ts' },
    format: ['esm'],
    target: 'node20',
    banner: { js: '#!/usr/bin/env node' },
    external: ['tokenizers', 'node-gyp-build', '@huggingface/hub'],
  },
])
