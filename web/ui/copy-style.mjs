// Puts the style sheet beside what was compiled, with a type, so that `import '@carillon/ui/style.css'` is known to compilers.

import { copyFileSync, writeFileSync } from 'node:fs'

copyFileSync(new URL('src/style.css', import.meta.url), new URL('dist/style.css', import.meta.url))
writeFileSync(new URL('dist/style.css.d.ts', import.meta.url), 'export {}\n')
