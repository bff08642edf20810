import { existsSync } from 'node:fs'
import { defineConfig } from 'vitest/config'

const workspaces = ['client', 'react', 'ui', 'server', 'examples', 'console']

export default defineConfig({
  test: {
    projects: [
      ...workspaces.filter((name) => existsSync(new URL(`${name}/vitest.config.ts`, import.meta.url))),
      'react/vitest.react-18.config.ts',
    ],
  },
})
