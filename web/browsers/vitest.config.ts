import { defineConfig } from 'vitest/config'

// Not among the projects of `npm test`: it needs browsers of its own, and minutes.
export default defineConfig({
  test: { include: ['*.test.ts'], testTimeout: 120_000, hookTimeout: 120_000, fileParallelism: false },
})
