import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import base from './vitest.config'

// The golden models and the public API again, on the CUDA backend in the emulator (cuda/emulator/README.md). Left out:
// real models, because the emulator is slow; queue.test.ts, whose long calls take minutes there, and which is about the
// engine; and what does not load a model onto a device.
const library = join(import.meta.dirname, 'build-cmake/libembedcore_cuda_emulated.so')
const emulates = process.platform === 'linux'
if (emulates && !existsSync(library)) throw new Error(`${library} is not there: run node scripts/test-cuda.cjs first`)
if (!emulates) console.log('The emulator of the CUDA backend runs on Linux only: no test of it is run')

export default defineConfig({
  test: {
    ...base.test,
    env: { EMBEDCORE_CUDA_LIBRARY: library, EMBEDCORE_TEST_MODELS: 'none' },
    passWithNoTests: !emulates,
    include: emulates
      ? [
          'test/api/{async-context,errors,results}.test.ts',
          'test/encode/{dtypes,model,stream,tokens}.test.ts',
          'test/parity/{adapters,dtypes,families,layouts,stacks}.test.ts',
        ]
      : [],
  },
})
