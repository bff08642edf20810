import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

const page = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const names = ['appointments', 'crm', 'leads', 'shop', 'school']

// Static files: every page is a folder with an index.html, and any web server can serve them.
export default defineConfig({
  base: './',
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    rolldownOptions: {
      // 'use client' is for servers that render; these pages have none.
      onwarn: (warning, warn) => warning.code !== 'MODULE_LEVEL_DIRECTIVE' && warn(warning),
      input: Object.fromEntries([['index', page('index.html')], ...names.map((name) => [name, page(`${name}/index.html`)])]),
    },
  },
})
