// Does docs/guide/transactional.md do what it says: the order and its event, both or neither, from Node and from Python?

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { Checks, until } from './checks.mjs'
import { need, stack } from './stack.mjs'

const checks = new Checks('transactional')
const page = readFileSync(new URL('../../docs/guide/transactional.md', import.meta.url), 'utf8')
const block = (language) => page.split('```' + language + '\n')[1].split('```')[0]
const owner = new pg.Client({ connectionString: need('CARILLON_DATABASE_URL') })
await owner.connect()
const url = new URL(need('CARILLON_DATABASE_URL'))
url.username = 'shop'
url.password = 'shop'
process.env.DATABASE_URL = url.href

/** The orders that events tell of, newest last. */
async function told() {
  const answer = await fetch(`${stack.publisher}/v1/events?tenant=acme&type=order.placed&limit=200`, {
    headers: { authorization: `Bearer ${stack.apiKey}` },
  })
  assert.equal(answer.status, 200)
  return (await answer.json()).events.map(({ event }) => event).reverse()
}

const events = (count) => until(10_000, `${count} events`, async () => (await told()).length >= count)
const folder = mkdtempSync(join(tmpdir(), 'carillon-'))
// Beside this file, so that it finds its modules.
const module = new URL('.transactional-example.mjs', import.meta.url)
try {
  await owner.query(block('sql'))
  writeFileSync(module, block('js'))
  const { placeOrder } = await import(module)

  await checks.check('node: the order and its event come together', async () => {
    const id = await placeOrder('mila', 12.5)
    await events(1)
    const [event] = await told()
    assert.deepEqual(event.data, { id, total: 12.5 })
    assert.equal(event.actor, 'mila')
  })
  await checks.check('node: an order that is refused has no event', async () => {
    await assert.rejects(placeOrder('mila', -1), /check constraint/)
    await placeOrder('ana', 3)
    await events(2)
    assert.deepEqual((await told()).map(({ data }) => data.total), [12.5, 3])
  })
  await checks.check('node: a fault of the event is named, and there is no order either', async () => {
    const before = (await owner.query('SELECT count(*)::int AS n FROM orders')).rows[0].n
    await assert.rejects(placeOrder('mi\tla', 1), (error) => {
      assert.equal(error.code, '22023')
      assert.deepEqual(JSON.parse(error.detail).map(({ pointer, code }) => [pointer, code]), [['/actor', 'invalid'], ['/channels/1', 'invalid']])
      return true
    })
    assert.equal((await owner.query('SELECT count(*)::int AS n FROM orders')).rows[0].n, before)
  })
  await checks.check('python: the order and its event come together, or neither', async () => {
    const program = `${block('python')}
place_order("boris", 7)
try:
    place_order("boris", -1)
    raise SystemExit("no error")
except psycopg.errors.CheckViolation:
    pass
place_order("boris", 8)
`
    writeFileSync(join(folder, 'example.py'), program)
    const run = spawnSync(need('CARILLON_PYTHON'), [join(folder, 'example.py')], { encoding: 'utf8', timeout: 60_000 })
    assert.equal(run.status, 0, run.stderr)
    await events(4)
    assert.deepEqual((await told()).map(({ data }) => data.total), [12.5, 3, 7, 8])
  })
  await checks.check('what is stored is what was told', async () => {
    const { rows } = await owner.query('SELECT id::int AS id FROM orders ORDER BY id')
    const ids = (await told()).map(({ data }) => data.id).sort((a, b) => a - b)
    assert.deepEqual(ids, rows.map(({ id }) => id))
  })
} finally {
  rmSync(module, { force: true })
  rmSync(folder, { recursive: true })
  await owner.end()
}
process.exit(checks.summary())
