import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: { name: 'react 19', include: ['test/**/*.test.{ts,tsx}'], environment: 'happy-dom', testTimeout: 30_000 },
})
