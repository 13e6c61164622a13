import { defineConfig } from 'vitest/config'
import base from './vitest.config'

// Golden models and the public face once more, on a backend whose memory only its own operations may touch
// (native/reference/device_backend.h): what a GPU is to the rest of the package.
export default defineConfig({
  test: {
    ...base.test,
    // Real models are left out: the reference is not made fast.
    env: { EMBEDCORE_CPU_ISA: 'reference-device', EMBEDCORE_TEST_MODELS: 'none' },
    include: [
      'test/api/**/*.test.ts',
      'test/encode/{bad-files,dtypes,model,model2vec,queue,stream}.test.ts',
      'test/parity/{families,layouts,stacks,vectors}.test.ts',
    ],
  },
})
