// How does a user token come to be? (A JWT signed with the shared secret, HS256.)

import crypto from 'k6/crypto'
import encoding from 'k6/encoding'

import { secret } from './settings.js'

const encode = (value) => encoding.b64encode(JSON.stringify(value), 'rawurl')
const header = encode({ alg: 'HS256', typ: 'JWT' })

/** A token that says `claims` and lives for `seconds`. */
export function mint(claims, seconds = 3600) {
  const now = Math.floor(Date.now() / 1000)
  const text = `${header}.${encode({ iat: now, exp: now + seconds, ...claims })}`
  return `${text}.${crypto.hmac('sha256', secret, text, 'base64rawurl')}`
}
