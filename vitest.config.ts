import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/long/**'],
    // Each file in its own process: native threads, environment variables and the hub's cache settings stay apart.
    pool: 'forks',
    // Two at least: vitest leaves a core free, and many tests wait rather than compute.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 60_000,
    // What is waited for comes, however busy the machine is; the time is there to end a test that fails.
    expect: { poll: { timeout: 30_000 } },
    hookTimeout: 120_000,
  },
})
