import { defineConfig } from 'vitest/config'

export default defineConfig({
  // Node 20 has a WebSocket behind a flag.
  test: {
    name: 'client',
    include: ['test/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    execArgv: ['--experimental-websocket'],
  },
})
