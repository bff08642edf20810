// Is a message at a webhook believed exactly when it is ours?

import { Webhook } from 'standardwebhooks'
import { describe, expect, test } from 'vitest'
import { verifyWebhook, WebhookError } from '../src/index.js'

const secret = `whsec_${btoa('a secret of twenty-four b')}`
const other = `whsec_${btoa('another of twenty-four by')}`
const now = 1_795_000_000_000
const event = { tenant: 'acme', seq: 4, type: 'order.paid', data: { total: 'zwölf €' } }
const body = JSON.stringify(event)

/** The headers of a message, signed by the reference implementation of Standard Webhooks. */
function signed(text = body, at = now, by = [secret]) {
  const date = new Date(at)
  return {
    'webhook-id': 'acme_a_4',
    'webhook-timestamp': String(at / 1000),
    'webhook-signature': by.map((one) => new Webhook(one).sign('acme_a_4', date, text)).join(' '),
  }
}

const verify = (text: string | Uint8Array, headers: object, more: object = {}) =>
  verifyWebhook(text, headers as Record<string, string>, { secret, now, ...more })
const refusal = async (promise: Promise<unknown>) => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(WebhookError)
  return (error as WebhookError).code
}

describe('believed', () => {
  test('what the reference implementation signed: as text, as bytes, with any kind of headers', async () => {
    const told = { id: 'acme_a_4', timestamp: new Date(now), body: event }
    expect(await verify(body, signed())).toEqual(told)
    expect(await verify(new TextEncoder().encode(body), new Headers(signed()))).toEqual(told)
    expect(
      await verify(
        Buffer.from(body),
        Object.fromEntries(Object.entries(signed()).map(([name, value]) => [name.toUpperCase(), [value]])),
      ),
    ).toEqual(told)
  })

  test('during a rotation: two signatures with the secret of either, one signature with either of two secrets', async () => {
    const both = signed(body, now, [other, secret])
    for (const one of [secret, other, [secret], [`whsec_${btoa('x'.repeat(24))}`, other]])
      expect((await verify(body, both, { secret: one })).body).toEqual(event)
    expect((await verify(body, signed(), { secret: [other, secret] })).body).toEqual(event)
  })

  test('signatures of other versions beside it are passed over', async () => {
    const headers = signed()
    headers['webhook-signature'] = `v1a,AAAA v2,BBBB v1,!!! ${headers['webhook-signature']}`
    expect((await verify(body, headers)).body).toEqual(event)
  })

  test('up to the tolerance, and no further', async () => {
    expect((await verify(body, signed(body, now - 300_000))).id).toBe('acme_a_4')
    expect((await verify(body, signed(body, now + 300_000))).id).toBe('acme_a_4')
    expect(await refusal(verify(body, signed(body, now - 301_000)))).toBe('timestamp_too_old')
    expect(await refusal(verify(body, signed(body, now + 301_000)))).toBe('timestamp_too_new')
    expect((await verify(body, signed(body, now - 3_600_000), { tolerance: 3600 })).id).toBe('acme_a_4')
  })
})

describe('not believed', () => {
  test('another secret, another body, another id, another time', async () => {
    expect(await refusal(verify(body, signed(), { secret: other }))).toBe('signature_mismatch')
    expect(await refusal(verify(`${body} `, signed()))).toBe('signature_mismatch')
    expect(await refusal(verify(body, { ...signed(), 'webhook-id': 'acme_a_5' }))).toBe('signature_mismatch')
    expect(await refusal(verify(body, { ...signed(), 'webhook-timestamp': String(now / 1000 + 1) }))).toBe('signature_mismatch')
  })

  test('every signature with one bit changed', async () => {
    const headers = signed()
    const raw = Uint8Array.from(atob(headers['webhook-signature'].slice(3)), (letter) => letter.charCodeAt(0))
    for (let bit = 0; bit < raw.length * 8; bit += 1) {
      const changed = raw.slice()
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(
        await refusal(verify(body, { ...headers, 'webhook-signature': `v1,${btoa(String.fromCharCode(...changed))}` })),
      ).toBe('signature_mismatch')
    }
  })

  test('a part of a signature, none, and none of our version', async () => {
    const headers = signed()
    for (const value of [headers['webhook-signature'].slice(0, 20), 'v1,', 'v2,AAAA', ','])
      expect(await refusal(verify(body, { ...headers, 'webhook-signature': value }))).toBe('signature_mismatch')
  })

  test('headers that are missing, given twice or no time', async () => {
    for (const name of ['webhook-id', 'webhook-timestamp', 'webhook-signature']) {
      const { [name]: _, ...rest } = signed() as Record<string, string>
      expect(await refusal(verify(body, rest))).toBe('header_missing')
      expect(await refusal(verify(body, { ...rest, [name]: ['a', 'b'] }))).toBe('header_missing')
    }
    for (const value of ['soon', '-1', '1e9', '1.5'])
      expect(await refusal(verify(body, { ...signed(), 'webhook-timestamp': value }))).toBe('timestamp_invalid')
  })

  test('what is signed and no JSON', async () => {
    expect(await refusal(verify('hello', signed('hello')))).toBe('body_invalid')
  })

  test('a secret that is none is a mistake of the program', async () => {
    for (const wrong of ['', 'whsec_', 'whsec_%%%', []]) {
      const verdict = verify(body, signed(), { secret: wrong })
      await expect(verdict).rejects.toThrow(Array.isArray(wrong) ? 'signature_mismatch' : 'secret: whsec_')
    }
  })
})
