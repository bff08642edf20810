// Does a token have the claims of the contract, and a signature that others verify?

import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import { token } from '../src/index.js'

const secret = 'a secret of thirty-two bytes, or more'
const now = 1_795_000_000_999
const parts = (text: string) => text.split('.').map((part) => Buffer.from(part, 'base64url').toString())

test('all claims, named as the contract names them', async () => {
  const made = await token({
    secret,
    user: 'mila',
    tenant: 'school-1',
    roles: ['teacher'],
    tenants: { 'school-2': ['head'] },
    channels: ['class:*'],
    caps: ['publish'],
    meta: { desk: 4 },
    audience: 'app',
    issuer: 'me',
    expiresIn: 60.9,
    now,
  })
  const [head, claims] = parts(made)
  expect(JSON.parse(head ?? '')).toEqual({ alg: 'HS256', typ: 'JWT' })
  expect(JSON.parse(claims ?? '')).toEqual({
    sub: 'mila',
    iat: 1_795_000_000,
    exp: 1_795_000_060,
    tenant: 'school-1',
    roles: ['teacher'],
    tenants: { 'school-2': ['head'] },
    channels: ['class:*'],
    caps: ['publish'],
    meta: { desk: 4 },
    aud: 'app',
    iss: 'me',
  })
})

test('what is not given is no claim; it ends in an hour', async () => {
  expect(JSON.parse(parts(await token({ secret, user: 'Žofie', now }))[1] ?? '')).toEqual({
    sub: 'Žofie',
    iat: 1_795_000_000,
    exp: 1_795_003_600,
  })
})

test('the signature is HMAC-SHA256 over what stands before it', async () => {
  for (const key of [secret, new Uint8Array(32).fill(0xff)]) {
    const made = await token({ secret: key, user: 'mila' })
    const at = made.lastIndexOf('.')
    expect(made.slice(at + 1)).toBe(createHmac('sha256', key).update(made.slice(0, at)).digest('base64url'))
  }
})

test.each([
  ['a secret of under 16 bytes', { secret: 'short' }, /^secret/],
  ['no user', { user: '' }, /^user/],
  ['a user of 129 bytes', { user: 'ü'.repeat(65) }, /^user/],
  ['a control character', { user: 'a\nb' }, /^user/],
  ['roles without their tenant', { roles: ['head'] }, /^roles/],
  ['too many roles', { tenant: 't', roles: Array(257).fill('r') }, /^roles/],
  ['too much about the user', { meta: 'x'.repeat(1023) }, /^meta/],
  ['a lifetime of nothing', { expiresIn: 0 }, /^expiresIn/],
  ['a lifetime that is no number', { expiresIn: Number.NaN }, /^expiresIn/],
  ['an end after the year 9999', { expiresIn: 3e11 }, /^expiresIn/],
  ['more than 8 KiB', { channels: Array(600).fill('contact:1234567890') }, /8,192/],
])('refuses %s, as the installation would', async (_, wrong, message) => {
  await expect(token({ secret, user: 'mila', ...wrong })).rejects.toThrow(message)
})
