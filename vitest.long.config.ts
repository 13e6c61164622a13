import { defineConfig } from 'vitest/config'
import base from './vitest.config'

// What takes minutes and is no part of `npm test`: hundreds of killed runs, sweeps of seeds, full disks. One file at a
// time, because runs that are killed at a moment need their processor.
export default defineConfig({
  test: { ...base.test, include: ['test/long/**/*.test.ts'], exclude: [], maxWorkers: 1, testTimeout: 3_600_000 },
})
