// Is everything seen that the API finds wrong with what a form sent, and only once?

import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import type { Given } from '../console.test.js'
import { rest } from '../rest.js'
import { visit } from '../visit.js'

interface Schema {
  readonly $ref?: string
  readonly allOf?: readonly Schema[]
  readonly properties?: Readonly<Record<string, Schema>>
}

interface Form {
  readonly name: string
  readonly at: string
  /** The request, as /openapi.json names it: a fault is made of each field of its body. */
  readonly operation: readonly [method: 'put' | 'post', path: string]
  /** Further places of faults: in a field, or a parameter (without the slash). */
  readonly also: readonly string[]
  readonly fill: (page: Page) => Promise<void>
  readonly button: string
}

const forms: readonly Form[] = [
  {
    name: 'a new rule',
    at: '/rules?tenant=faults&new=1',
    operation: ['put', '/v1/channel-rules/{pattern}'],
    also: ['pattern', '/subscribe/0', '/history/1'],
    fill: (page) => page.getByLabel('Pattern').fill('order:*'),
    button: 'Create the rule',
  },
  {
    name: 'a rule whose past is for others',
    at: '/rules?tenant=faults&pattern=kept:*',
    operation: ['put', '/v1/channel-rules/{pattern}'],
    also: ['pattern', '/history/1'],
    fill: (page) => page.getByLabel('Who may get its events may read its past').uncheck(),
    button: 'Save',
  },
  {
    name: 'a new type with another language',
    at: '/types?tenant=faults&new=1',
    operation: ['put', '/v1/event-types/{type}'],
    also: ['type', '/locales/de', '/locales/de/title', '/locales/fr/body', '/defaults/toast', '/defaults/fax'],
    fill: async (page) => {
      await page.getByLabel('Type', { exact: true }).fill('order.new')
      await page.getByLabel('A further language').fill('de')
      await page.getByRole('button', { name: 'Add' }).click()
      await page.getByRole('button', { name: 'No language' }).click()
    },
    button: 'Create the type',
  },
  {
    name: 'a type that is there',
    at: '/types?tenant=faults&type=kept.type',
    operation: ['put', '/v1/event-types/{type}'],
    also: ['type'],
    fill: (page) => page.getByLabel('Body', { exact: true }).fill('Changed'),
    button: 'Save',
  },
  {
    name: 'a new webhook',
    at: '/webhooks?tenant=faults&new=1',
    operation: ['put', '/v1/webhooks/{webhook}'],
    also: ['webhook', '/types/3'],
    fill: async (page) => {
      await page.getByLabel('Name').fill('billing')
      await page.getByLabel('URL').fill('https://app.example/hook')
    },
    button: 'Create the webhook',
  },
  {
    name: 'a notice with a text of its own',
    at: '/notices?tenant=faults&new=1',
    operation: ['post', '/v1/dry-runs/notices'],
    also: [
      '/audience/tenant',
      '/audience/users/0',
      '/audience/everyone',
      '/escalate/0/who',
      '/escalate/0/to',
      '/escalate/7',
      '/template',
    ],
    fill: async (page) => {
      await page.getByLabel('Title').fill('Fire drill')
      await page.getByRole('button', { name: 'Add a step' }).click()
    },
    button: 'Check and preview',
  },
  {
    name: 'a notice by templates',
    at: '/notices?tenant=faults&new=1',
    operation: ['post', '/v1/dry-runs/notices'],
    also: ['/data/id', '/template', '/escalate/0/after'],
    fill: async (page) => void (await page.getByLabel('Text').selectOption('kept.type')),
    button: 'Check and preview',
  },
  {
    name: 'a new key',
    at: '/keys?tenant=faults',
    operation: ['post', '/v1/api-keys'],
    also: ['/scopes/1'],
    fill: (page) => page.getByRole('button', { name: 'New key' }).click(),
    button: 'Make the key',
  },
  {
    name: 'limits',
    at: '/tenants?tenant=faults',
    operation: ['put', '/v1/tenants/{tenant}'],
    also: ['/limits/connections'],
    fill: (page) => page.getByLabel('Connections').fill('12'),
    button: 'Save limits',
  },
]

export function faults(given: Given) {
  const fields = async ([method, path]: Form['operation']) => {
    const { body: document } = await rest(given.stack, 'GET', '/openapi.json')
    const namesOf = (schema: Schema): string[] =>
      schema.$ref
        ? namesOf(document.components.schemas[schema.$ref.split('/').at(-1)!])
        : [...Object.keys(schema.properties ?? {}), ...(schema.allOf ?? []).flatMap(namesOf)]
    return namesOf(document.paths[path][method].requestBody.content['application/json'].schema)
  }

  for (const form of forms)
    test(`${form.name}: each fault that the API finds is seen once`, async () => {
      const { browser, stack } = given
      const rule = { subscribe: ['anyone'] }
      expect((await rest(stack, 'PUT', '/v1/channel-rules/kept:*?tenant=faults', rule)).status).toBeLessThan(300)
      const type = { title: 'Order {{ id }}', body: 'Kept' }
      expect((await rest(stack, 'PUT', '/v1/event-types/kept.type?tenant=faults', type)).status).toBeLessThan(300)
      const places = [...new Set([...(await fields(form.operation)).map((name) => `/${name}`), ...form.also])]
      expect(places.length).toBeGreaterThan(form.also.length + 2)
      const there = await visit(browser, stack, form.at)
      const { page } = there
      await page.route(/\/v1\//, async (route) => {
        const request = route.request()
        const [method, path] = form.operation
        const asked = new URL(request.url()).pathname
        if (request.method().toLowerCase() !== method || !asked.startsWith(path.replace(/\{.*/, ''))) return route.fallback()
        const errors = places.map((place) => ({
          ...(place.startsWith('/') ? { pointer: place } : { parameter: place }),
          code: 'invalid',
          detail: `«${place}» is refused`,
        }))
        const body = JSON.stringify({ code: 'validation_failed', status: 422, detail: 'much is wrong', errors })
        await route.fulfill({ status: 422, contentType: 'application/problem+json', body })
      })
      await form.fill(page)
      await page.getByRole('button', { name: form.button }).click()
      await page.locator('.outcome .note.bad').first().waitFor()
      const seen = await Promise.all(
        places.map(async (place) => {
          const all = await page.getByText(`«${place}» is refused`).all()
          const visible = await Promise.all(all.map((one) => one.isVisible()))
          return [place, visible.filter(Boolean).length] as const
        }),
      )
      expect(seen.filter(([, times]) => times !== 1)).toEqual([])
      expect(there.faults).toEqual([])
      await there.close()
    })
}
