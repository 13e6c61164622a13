import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Each file in its own process: native threads, environment variables and the hub's cache settings stay apart.
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})
