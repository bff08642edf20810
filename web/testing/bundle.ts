// How large is a package in the bundle of an application that uses all of it?

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build, type Rolldown } from 'vite'

export interface Bundle {
  code: string
  /** KiB after gzip -9. */
  kib: number
}

/** Bundles the program `source` as an application would, minified, without what is `external`. It imports the packages as they were built. */
export async function bundle(source: string, external: (string | RegExp)[]): Promise<Bundle> {
  const parent = fileURLToPath(new URL('../node_modules/.bundles/', import.meta.url))
  mkdirSync(parent, { recursive: true })
  const folder = mkdtempSync(parent)
  const entry = join(folder, 'entry.js')
  writeFileSync(entry, source)
  try {
    const output = (await build({
      configFile: false,
      logLevel: 'silent',
      root: folder,
      // No library mode: it leaves white space in.
      build: {
        write: false,
        modulePreload: false,
        minify: true,
        target: 'es2022',
        rolldownOptions: { input: entry, external, preserveEntrySignatures: 'strict' },
      },
    })) as Rolldown.RolldownOutput
    const code = output.output.map((one) => ('code' in one ? one.code : '')).join('')
    return { code, kib: kibOf(code) }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** KiB after gzip -9. */
export function kibOf(text: string): number {
  return gzipSync(text, { level: 9 }).length / 1024
}
