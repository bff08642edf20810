// Do the programs of docs/guide/server.md run as they stand there?

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort, type Stack, startStack, until } from '../../testing/stack.js'

const guide = readFileSync(new URL('../../../docs/guide/server.md', import.meta.url), 'utf8')
const programs = [...guide.matchAll(/^## (.+)$|^```js\n([\s\S]+?)^```$/gm)].reduce<{ heading: string; code: string }[]>(
  (found, [, heading, code]) => {
    const last = found.at(-1)
    if (heading) found.push({ heading, code: '' })
    else if (last?.code === '') last.code = code ?? ''
    else found.push({ heading: last?.heading ?? '', code: code ?? '' })
    return found
  },
  [],
)

let stack: Stack
let folder: string
const secret = `whsec_${btoa('a secret of twenty-four b')}`
let hookPort: number

beforeAll(async () => {
  stack = await startStack('--gateways', '1')
  hookPort = await freePort()
  // Beside the package, so that its name leads to what was built.
  const parent = fileURLToPath(new URL('../../node_modules/.guide/', import.meta.url))
  mkdirSync(parent, { recursive: true })
  folder = mkdtempSync(parent)
}, 120_000)
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await stack?.down()
})

function start(code: string): { child: ChildProcess; told: () => string; ended: Promise<number | null> } {
  const file = join(folder, `program-${Math.random().toString(36).slice(2)}.mjs`)
  writeFileSync(file, code)
  const child = spawn(process.execPath, [file], {
    env: {
      ...process.env,
      CARILLON_URL: stack.lb,
      CARILLON_API_KEY: stack.api_key,
      CARILLON_JWT_SECRET: stack.jwt_secret,
      WEBHOOK_SECRET: secret,
      PORT: String(hookPort),
    },
  })
  let told = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (piece) => {
      told += piece
    })
  return { child, told: () => told, ended: new Promise((resolve) => child.once('close', resolve)) }
}

test('every section with a program has one that runs', async () => {
  const told: string[] = []
  for (const { heading, code } of programs.filter((one) => one.code && !one.code.includes('createServer'))) {
    const program = start(code)
    expect([heading, await program.ended, program.told()]).toEqual([heading, 0, program.told()])
    told.push(program.told().trim())
  }
  expect(told).toEqual(['committed as 1', '2', 'true', '', 'true', 'validation target_required'])
})

test('the receiver of webhooks believes what is signed', async () => {
  const { child, told, ended } = start(programs.find(({ code }) => code.includes('createServer'))?.code ?? '')
  const url = `http://127.0.0.1:${hookPort}/`
  await until('the receiver listens', () =>
    fetch(url, { method: 'POST' }).then(
      ({ status }) => status === 401,
      () => false,
    ),
  )
  const headers = { authorization: `Bearer ${stack.api_key}`, 'content-type': 'application/json' }
  await fetch(`${stack.lb}/v1/webhooks/guide?tenant=studio-nova`, {
    method: 'PUT',
    headers,
    body: JSON.stringify({ url, secret }),
  })
  const answer = await fetch(`${stack.lb}/v1/webhooks/guide/test?tenant=studio-nova`, { method: 'POST', headers, body: '{}' })
  expect(await answer.json()).toMatchObject({ delivered: true, status: 204 })
  expect(told()).toMatch(/ carillon\.webhook\.test\n$/)
  child.kill()
  await ended
})
