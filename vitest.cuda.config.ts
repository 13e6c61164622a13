import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import base from './vitest.config'

// The golden models and the public API again, on the CUDA backend in the emulator (cuda/emulator/README.md), which
// scripts/test-native.cjs builds.
export default defineConfig({
  test: {
    ...base.test,
    // Real models are left out, because the emulator is slow.
    env: {
      EMBEDCORE_CUDA_LIBRARY: join(import.meta.dirname, 'build-tests/libembedcore_cuda_emulated.so'),
      EMBEDCORE_TEST_MODELS: 'none',
    },
    include: [
      'test/api/**/*.test.ts',
      'test/encode/{bad-files,dtypes,model,model2vec,queue,stream}.test.ts',
      'test/parity/{families,layouts,stacks,vectors}.test.ts',
    ],
  },
})
