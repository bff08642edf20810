// How does a browser get the pages of a test?

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { type Browser, chromium } from 'playwright-core'
import { build } from 'vite'

const types: Record<string, string> = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css' }

export interface Pages {
  /** `http://127.0.0.1:<port>/` */
  url: string
  close(): Promise<void>
}

/** Builds the page of one script as an application would, and serves it: same content for every path, under a strict content security policy. */
export async function servePage(script: string, root: string): Promise<Pages> {
  const folder = mkdtempSync(join(tmpdir(), 'carillon-pages-'))
  const entry = join(root, 'index.html')
  const html = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Test</title><body><div id="root"></div><script type="module" src="${script}"></script></body></html>`
  await build({
    configFile: false,
    logLevel: 'silent',
    root,
    plugins: [
      {
        name: 'page',
        enforce: 'pre',
        resolveId: (id) => (id === entry ? entry : null),
        load: (id) => (id === entry ? html : null),
      },
    ],
    build: { outDir: folder, emptyOutDir: true, modulePreload: false, rolldownOptions: { input: entry } },
  })
  writeFileSync(join(folder, 'favicon.ico'), '')
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname
    const file = extname(path) && !path.includes('..') ? join(folder, path) : join(folder, 'index.html')
    try {
      const body = readFileSync(file)
      // No style elements, no inline scripts: what the parts must do without.
      const policy = "default-src 'self'; style-src 'self'; script-src 'self'; connect-src *"
      response
        .writeHead(200, { 'content-type': types[extname(file)] ?? 'application/octet-stream', 'content-security-policy': policy })
        .end(body)
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** The Chromium of this machine. */
export function launch(): Promise<Browser> {
  // Root has no sandbox; the only pages are ours. Of a page that a test answers for (`route.fulfill`) Chromium does not know that it comes
  // from this machine, and refuses its WebSockets to it (findings/chromium-local-network-of-a-fulfilled-page.sh).
  const args = ['--no-sandbox', '--disable-features=LocalNetworkAccessChecks']
  return chromium.launch({ executablePath: process.env.CARILLON_CHROMIUM ?? '/usr/bin/chromium', args })
}
