// Is the interface that is written from the event types one that TypeScript takes, and that says what the schemas say?

import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import fc from 'fast-check'
import ts from 'typescript'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Stack, startStack } from '../../testing/stack.js'
import { interfaceOf, type Schema, typeOf } from '../src/schema.js'
import { Installation } from './installation.js'

const flat = (schema: Schema) => typeOf(schema).replace(/\s+/g, ' ')

test('each keyword that a type can say is said', () => {
  const said: [Schema, string][] = [
    [true, 'unknown'],
    [false, 'never'],
    [{}, 'unknown'],
    [{ type: 'integer' }, 'number'],
    [{ type: ['string', 'null'] }, 'string | null'],
    [{ enum: ['a', 1, null] }, '"a" | 1 | null'],
    [{ const: { a: [1] } }, '{ a: [1] }'],
    [{ type: 'array', items: { type: ['string', 'number'] } }, '(string | number)[]'],
    [{ type: 'array', prefixItems: [{ type: 'string' }, { type: 'number' }], items: false, minItems: 1 }, '[string, number?]'],
    [{ type: 'object', additionalProperties: { type: 'number' } }, 'Record<string, number>'],
    [
      { type: 'object', required: ['id'], properties: { id: { type: 'string' }, 'of it': {} }, additionalProperties: false },
      '{ id: string "of it"?: unknown }',
    ],
    [{ anyOf: [{ type: 'string' }, { type: 'number' }] }, 'string | number'],
    [
      { allOf: [{ required: ['a'] }, { required: ['b'] }] },
      '{ a: unknown [other: string]: unknown } & { b: unknown [other: string]: unknown }',
    ],
    [{ $ref: '#/$defs/money', $defs: { money: { type: 'number' } } }, 'number'],
  ]
  for (const [schema, type] of said) expect(flat(schema)).toBe(type)
})

test('whatever the schemas are, TypeScript reads what is written', () => {
  const name = fc.oneof(fc.constantFrom('id', 'to', '*/', 'a"b', '$x', 'ä b', '0'), fc.string({ minLength: 1, maxLength: 6 }))
  const { schema } = fc.letrec<{ schema: Schema }>((tie) => ({
    schema: fc.oneof(
      { maxDepth: 4 },
      fc.boolean(),
      fc.constantFrom('string', 'number', 'integer', 'boolean', 'null', 'array', 'object').map((type) => ({ type })),
      fc.record({ enum: fc.array(fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<unknown>, { minLength: 1, maxLength: 3 }) }),
      fc.record({ type: fc.constant('array'), items: tie('schema') }),
      fc.record({
        type: fc.constant('array'),
        prefixItems: fc.array(tie('schema'), { minLength: 1, maxLength: 3 }),
        minItems: fc.nat(3),
      }),
      fc.record({
        type: fc.constant('object'),
        properties: fc.dictionary(name, tie('schema'), { maxKeys: 3 }),
        required: fc.array(name, { maxLength: 2 }),
        description: fc.string(),
      }),
      fc.record({ anyOf: fc.array(tie('schema'), { minLength: 1, maxLength: 3 }) }),
      fc.record({ allOf: fc.array(tie('schema'), { minLength: 1, maxLength: 3 }), description: fc.string() }),
    ),
  }))
  fc.assert(
    fc.property(
      fc.array(fc.record({ type: name, title: fc.option(fc.string()), schema: fc.option(schema) }), { maxLength: 4 }),
      (types) => {
        const text = interfaceOf(types)
        const { diagnostics } = ts.transpileModule(text, { reportDiagnostics: true })
        expect(
          diagnostics?.map((one) => one.messageText),
          text,
        ).toEqual([])
      },
    ),
    { numRuns: 500 },
  )
})

let stack: Stack
let folder: string
beforeAll(async () => {
  stack = await startStack('--gateways', '1')
  const parent = fileURLToPath(new URL('../../node_modules/.guide/', import.meta.url))
  mkdirSync(parent, { recursive: true })
  folder = mkdtempSync(join(parent, 'types-'))
})
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await stack?.down()
})

const cli = fileURLToPath(new URL('../dist/cli.js', import.meta.url))
const run = async (...options: string[]) => {
  const env = { ...process.env, CARILLON_API_KEY: stack.api_key }
  return promisify(execFile)(process.execPath, [cli, ...options], { env }).then(
    ({ stdout }) => ({ code: 0, stdout, stderr: '' }),
    ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
  )
}

test('the interface of an installation, and what TypeScript says of a program with it', async () => {
  const at = new Installation(stack, 'types')
  const order = {
    type: 'object',
    required: ['id', 'total'],
    properties: { id: { type: 'string' }, total: { type: 'number' } },
    additionalProperties: false,
  }
  await at.rest('PUT', `/v1/event-types/order.paid?tenant=${at.tenant}`, { title: 'Order {{ id }} was paid', schema: order })
  await at.rest('PUT', '/v1/event-types/system.maintenance?tenant=*', { title: 'Maintenance' })
  const file = join(folder, 'events.ts')
  expect(await run('types', '--url', stack.lb, '--tenant', at.tenant, '--out', file)).toMatchObject({ code: 0, stderr: '' })
  const text = readFileSync(file, 'utf8')
  expect(text).toContain('/** Order {{ id }} was paid */\n  "order.paid": {\n    id: string\n    total: number\n  }')
  expect(text).toContain('"system.maintenance": unknown')

  const program = (use: string) => `import { createClient } from '@carillon/client'
import type { Events } from './events.js'
const client = createClient<Events>({ url: '', getToken: () => null })
${use}
`
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  const uses: [use: string, fault: string][] = [
    ["client.on('order.paid', ({ data }) => data.total.toFixed(2))", ''],
    ["client.on('order.*', (event) => event.data.id.length)", ''],
    ["client.channel('order:1').publish('order.paid', { id: '1', total: 2 })", ''],
    ["client.on('order.paid', ({ data }) => data.price)", "'price' does not exist"],
    ["client.publish('order:1', 'order.paid', { id: 1, total: 2 })", "'number' is not assignable to type 'string'"],
  ]
  const files = uses.map(([use], i) => {
    const name = join(folder, `app-${i}.ts`)
    writeFileSync(name, program(use))
    return name
  })
  const options = {
    strict: true,
    noEmit: true,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
    types: [],
  }
  const compiled = ts.createProgram(files, options)
  for (const [i, [use, fault]] of uses.entries()) {
    const told = ts
      .getPreEmitDiagnostics(compiled, compiled.getSourceFile(files[i]!))
      .map((one) => ts.flattenDiagnosticMessageText(one.messageText, ' '))
    if (fault) expect(told.join(), use).toContain(fault)
    else expect(told, use).toEqual([])
  }
})

test('what is wrong is told in one line', async () => {
  expect(await run('types')).toMatchObject({ code: 64, stderr: expect.stringContaining('--url is needed') })
  expect(await run('type', '--url', stack.lb)).toMatchObject({ code: 64, stderr: expect.stringContaining('the one command is') })
  expect(await run('types', '--url', stack.lb)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('/v1/event-types was answered with 4'),
  })
  expect(await run('types', '--url', 'http://127.0.0.1:1')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('cannot be reached'),
  })
})
