// Serves one example: node serve.mjs appointments. CARILLON_URL, CARILLON_API_KEY and CARILLON_JWT_SECRET say where the installation is
// (`carillon status --json` tells them), PORT where the page is.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { Carillon, token } from '@carillon/server'
import { build } from 'vite'

const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css' }

/** Builds the page, starts its back end, and answers where it is. */
export async function serve(name, { url, apiKey, secret, port = 0 }) {
  const folder = mkdtempSync(join(tmpdir(), 'carillon-example-'))
  await build({
    configFile: false,
    logLevel: 'silent',
    root: join(import.meta.dirname, name),
    build: { outDir: folder, emptyOutDir: true, modulePreload: false },
  })
  const { backend } = await import(`./${name}/backend.mjs`)
  /** REST beyond what @carillon/server has: rules and the like. */
  const administer = async (method, path, body) => {
    const answer = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
  }
  const { tenant, people, setUp, routes } = backend
  const carillon = new Carillon({ url, apiKey, tenant })
  await setUp?.({ carillon, administer })

  const answer = async (request) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost')
    if (pathname === '/config') return { body: { url } }
    if (pathname === '/token') {
      // Yours knows who is signed in; the example lets everybody be anybody.
      const user = searchParams.get('as')
      return people[user]
        ? { body: { token: await token({ secret, user, tenant, expiresIn: 900, ...people[user] }) } }
        : { status: 403, body: {} }
    }
    const pieces = []
    for await (const piece of request) pieces.push(piece)
    const route = routes[`${request.method} ${pathname}`]
    if (!route) return { status: 404, body: {} }
    const input = pieces.length > 0 ? JSON.parse(Buffer.concat(pieces).toString()) : {}
    // Where the log stands, before the rows are read: the page goes on from there.
    const { epoch, seq } = await carillon.position()
    return { body: (await route({ carillon, input, by: searchParams.get('as') })) ?? {}, position: `${epoch}:${seq}` }
  }
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, 'http://localhost').pathname
    try {
      if (path === '/' || types[extname(path)]) {
        const file = path === '/' ? 'index.html' : path.replaceAll('..', '')
        return response.writeHead(200, { 'content-type': types[extname(file)] }).end(readFileSync(join(folder, file)))
      }
      const { status = 200, body, position } = await answer(request)
      response
        .writeHead(status, { 'content-type': 'application/json', ...(position && { 'carillon-position': position }) })
        .end(JSON.stringify(body))
    } catch (error) {
      console.error(`${request.method} ${path}: ${error.message}`)
      response.writeHead(500, { 'content-type': 'application/json' }).end('{}')
    }
  })
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close() {
      server.closeAllConnections()
      server.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

if (process.argv[1] === import.meta.filename) {
  const { CARILLON_URL: url, CARILLON_API_KEY: apiKey, CARILLON_JWT_SECRET: secret, PORT: port = 0 } = process.env
  const name = process.argv[2]
  if (!name || !url || !apiKey || !secret) {
    console.error('usage: CARILLON_URL=… CARILLON_API_KEY=… CARILLON_JWT_SECRET=… node serve.mjs appointments')
    process.exit(64)
  }
  const page = await serve(name, { url, apiKey, secret, port: Number(port) })
  console.log(`${name}: ${page.url}`)
}
