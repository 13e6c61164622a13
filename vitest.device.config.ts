import { defineConfig } from 'vitest/config'
import base from './vitest.config'

// The golden models and the public API again, on a backend whose memory only its operations may access
// (native/reference/device_backend.h), as on a GPU.
export default defineConfig({
  test: {
    ...base.test,
    // Real models are left out, because the reference is slow.
    env: { EMBEDCORE_CPU_ISA: 'reference-device', EMBEDCORE_TEST_MODELS: 'none' },
    include: [
      'test/api/**/*.test.ts',
      'test/encode/{bad-files,dtypes,model,model2vec,queue,stream}.test.ts',
      'test/parity/{families,layouts,stacks,vectors}.test.ts',
    ],
  },
})
