#!/usr/bin/env node
/** `npx @carillon/client types`: writes the interface of an installation's event types. */

import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { interfaceOf, type RegisteredType } from './schema.js'

const USAGE = `Usage: carillon-client types --url <URL> [--tenant <TENANT>] [--out <FILE>] [--name <INTERFACE>]

Writes a TypeScript interface of the event types that the installation knows, for createClient<Events>().

  --url     where REST is, such as https://events.example.com
  --tenant  whose event types; required with an API key for all tenants
  --out     the file to write; without it the interface is printed
  --name    what the interface is called [default: Events]

CARILLON_API_KEY: an API key of the scope admin, or a user token with the cap admin.
`

/** Bad usage is 64, everything else that fails is 1. */
function fail(message: string, code = 1): never {
  console.error(`carillon-client: ${message}`)
  process.exit(code)
}

function options() {
  try {
    const text = { type: 'string' } as const
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { url: text, tenant: text, out: text, name: text, help: { type: 'boolean', short: 'h' } },
    })
    if (values.help) {
      console.log(USAGE)
      process.exit(0)
    }
    if (positionals.join() !== 'types') fail(`the one command is \`types\`\n\n${USAGE}`, 64)
    if (!values.url || !URL.canParse(values.url)) fail(`--url is needed, such as https://events.example.com\n\n${USAGE}`, 64)
    if (values.name && !/^[A-Za-z_$][\w$]*$/.test(values.name)) fail('--name is no name of an interface', 64)
    return { ...values, url: values.url }
  } catch (error) {
    return fail(`${(error as Error).message}\n\n${USAGE}`, 64)
  }
}

const { url, tenant, out, name } = options()
const key = process.env.CARILLON_API_KEY ?? fail('CARILLON_API_KEY is not set: an API key of the scope admin is needed', 64)

async function read(of: string | undefined, needed: boolean): Promise<RegisteredType[]> {
  const address = new URL(`${url.replace(/\/+$/, '')}/v1/event-types`)
  if (of) address.searchParams.set('tenant', of)
  const answer = await fetch(address, { headers: { authorization: `Bearer ${key}` } }).catch((error) =>
    fail(`${address.origin} cannot be reached: ${error.cause?.message ?? error.message}`),
  )
  const body = (await answer.json().catch(() => null)) as { types?: RegisteredType[]; code?: string; detail?: string } | null
  if (answer.ok && body?.types) return body.types
  if (!needed) return []
  if (answer.ok) return fail(`${address.pathname} gave no list of types; is --url right?`)
  return fail(`${address.pathname} was answered with ${answer.status}${body?.code ? ` ${body.code}: ${body.detail}` : ''}`)
}

// The installation's types hold where the tenant has none of that name; not every key may read them.
const types = new Map([...(await read('*', false)), ...(await read(tenant, true))].map((one) => [one.type, one]))
const text = interfaceOf([...types.values()], name)
if (out) writeFileSync(out, text)
else process.stdout.write(text)
