// Does what was built run where there is no Node, and is it a package as others expect one?

import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { publint } from 'publint'
import { expect, test } from 'vitest'
import { bundle } from '../../testing/bundle.js'

const folder = fileURLToPath(new URL('..', import.meta.url))

test('publint finds nothing', async () => {
  const { messages } = await publint({ pkgDir: folder, strict: true })
  expect(messages).toEqual([])
})

test('it depends on nothing, and imports only its own files', () => {
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'))
  expect([dependencies, peerDependencies]).toEqual([undefined, undefined])
  const files = readdirSync(`${folder}/dist`).filter((name) => name.endsWith('.js'))
  expect(files.length).toBeGreaterThan(5)
  for (const name of files) {
    const imports = [...readFileSync(`${folder}/dist/${name}`, 'utf8').matchAll(/(?:from|import\()\s*'([^']+)'/g)].map(
      ([, from]) => from,
    )
    expect([name, imports.filter((from) => !from?.startsWith('./'))]).toEqual([name, []])
  }
})

test('it makes a token and publishes with what Deno, Bun and Workers have: no process, no Buffer, no require', async () => {
  const { code } = await bundle(`export * from '@carillon/server'`, [])
  expect(code).not.toMatch(/\b(process|Buffer|require|__dirname|setImmediate)\b/)
  const sent: string[] = []
  const names = ['process', 'Buffer', 'require', 'global', 'setImmediate']
  const body = code.replace(
    /export\s*\{([^}]*)\}/,
    (_, list: string) => `return {${list.replace(/([\w$]+) as ([\w$]+)/g, '$2: $1')}}`,
  )
  const made = new Function(...names, body)() as typeof import('../src/index.js')
  const fetch = async (url: RequestInfo | URL) => {
    sent.push(String(url))
    return Response.json({ id: 'e', seq: 1, epoch: 'a' }, { status: 201 })
  }
  const carillon = new made.Carillon({ url: 'https://events.example.com', apiKey: 'crln_a_b', fetch })
  expect(await carillon.publish({ type: 'a', channel: 'x' })).toEqual({ id: 'e', seq: 1, epoch: 'a' })
  expect((await made.token({ secret: 'x'.repeat(32), user: 'mila' })).split('.')).toHaveLength(3)
  expect(sent).toEqual(['https://events.example.com/v1/events'])
})
