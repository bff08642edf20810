// Are the committed files what the source builds?

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const embedded = fileURLToPath(new URL('../../../publisher/assets/console', import.meta.url))

function filesOf(folder: string, at = folder): string[] {
  return readdirSync(at)
    .flatMap((name) =>
      statSync(join(at, name)).isDirectory() ? filesOf(folder, join(at, name)) : [relative(folder, join(at, name))],
    )
    .sort()
}

test('the publisher has the console that this source builds (`npm run embed -w console`)', async () => {
  // Vitest sets NODE_ENV, and React would be another one.
  const before = process.env.NODE_ENV
  process.env.NODE_ENV = 'production'
  const built = await build({
    root,
    configFile: join(root, 'vite.config.ts'),
    logLevel: 'silent',
    mode: 'production',
    build: { write: false },
  })
  process.env.NODE_ENV = before
  const { output } = Array.isArray(built) ? built[0]! : (built as unknown as { output: never })
  const made = new Map(
    (output as { fileName: string; code?: string; source?: string | Uint8Array }[]).map((file) => [
      file.fileName,
      Buffer.from(file.code ?? file.source ?? ''),
    ]),
  )
  expect(filesOf(embedded)).toEqual([...made.keys()].sort())
  for (const [name, content] of made) expect(readFileSync(join(embedded, name)).equals(content), name).toBe(true)
})
