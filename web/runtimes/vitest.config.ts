import { defineConfig } from 'vitest/config'

// Not among the projects of `npm test`: it needs runtimes that are fetched for it.
export default defineConfig({
  test: { include: ['*.test.ts'], testTimeout: 120_000, hookTimeout: 120_000, fileParallelism: false },
})
