// The tests of the hooks, with the oldest React they are for.

import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { defineConfig } from 'vitest/config'

const folderOf = (name: string) =>
  dirname(createRequire(new URL('../react-18/package.json', import.meta.url)).resolve(`${name}/package.json`))

export default defineConfig({
  test: {
    name: 'react 18',
    include: ['test/**/*.test.tsx'],
    environment: 'happy-dom',
    testTimeout: 30_000,
    env: { REACT_MAJOR: '18' },
  },
  resolve: {
    alias: [
      { find: /^react(\/.*)?$/, replacement: `${folderOf('react')}$1` },
      { find: /^react-dom(\/.*)?$/, replacement: `${folderOf('react-dom')}$1` },
    ],
  },
})
