import { defineConfig } from 'vite'

// The publisher serves these files at /console, and has them in its program: `npm run embed` writes them to publisher/assets/console. They
// are committed, so that nobody needs Node to build a publisher; a test says whether they are what this source builds.
export default defineConfig({
  base: '/console/',
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    // A data: URL would need a looser policy.
    assetsInlineLimit: 0,
    rolldownOptions: {
      // 'use client' is for servers that render; this page has none.
      onwarn: (warning, warn) => warning.code !== 'MODULE_LEVEL_DIRECTIVE' && warn(warning),
    },
  },
})
