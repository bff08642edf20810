// Is a message at a webhook ours, fresh and unchanged?

import { WebhookError } from './errors.js'

/** An event as webhooks get it: its CloudEvents object, and where it stands. */
export interface WebhookEvent<Data = unknown> {
  tenant: string
  /** Missing in a test message, like `seq` and `sequence`. */
  epoch?: string
  seq?: number
  /** `seq` as a text, exact above 2^53. */
  sequence?: string
  specversion: '1.0'
  id: string
  source: string
  type: string
  time: string
  data?: Data
  [attribute: string]: unknown
}

/** With which secret a delivery was signed, and how far its time may be from now. */
export interface VerifyOptions {
  /** `whsec_…`; during a rotation of yours several, of which one must have signed. */
  secret: string | readonly string[]
  /** How far the message's time may be from now, in seconds, before and after. Default 300. */
  tolerance?: number
  /** Milliseconds since 1970; default now. */
  now?: number
}

type HeaderSource = { get(name: string): string | null } | Readonly<Record<string, string | readonly string[] | undefined>>

/** A verified message: whose name it has, and what it says. */
export interface VerifiedWebhook<Body = WebhookEvent> {
  /** `webhook-id`: the same at each attempt. Remember it to do the work once. */
  id: string
  /** When this attempt was signed. */
  timestamp: Date
  body: Body
}

/**
 * Verifies a signature of Standard Webhooks over the body as it came (its bytes, or its text before any parsing). Throws a `WebhookError` otherwise:
 * answer 401 then. Questions that Carillon asks an application (`authorize_url`) are signed the same way.
 */
export async function verifyWebhook<Body = WebhookEvent>(
  body: string | Uint8Array | ArrayBuffer,
  headers: HeaderSource,
  options: VerifyOptions,
): Promise<VerifiedWebhook<Body>> {
  const id = header(headers, 'webhook-id')
  const time = header(headers, 'webhook-timestamp')
  const signatures = header(headers, 'webhook-signature')
  if (!/^\d{1,15}$/.test(time)) throw new WebhookError('timestamp_invalid', 'webhook-timestamp is no number of seconds')
  const age = (options.now ?? Date.now()) / 1000 - Number(time)
  const tolerance = options.tolerance ?? 300
  if (age > tolerance) throw new WebhookError('timestamp_too_old', `the message was signed ${Math.round(age)} s ago`)
  if (-age > tolerance)
    throw new WebhookError('timestamp_too_new', `the message was signed ${Math.round(-age)} s in the future; compare the clocks`)

  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : new Uint8Array(body as ArrayBuffer)
  const prefix = new TextEncoder().encode(`${id}.${time}.`)
  const signed = new Uint8Array(prefix.length + bytes.length)
  signed.set(prefix)
  signed.set(bytes, prefix.length)
  const secrets = typeof options.secret === 'string' ? [options.secret] : options.secret
  if (!(await isSigned(signed, signatures, secrets)))
    throw new WebhookError('signature_mismatch', 'no signature is by this secret over these bytes')
  try {
    return {
      id,
      timestamp: new Date(Number(time) * 1000),
      body: JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as Body,
    }
  } catch {
    throw new WebhookError('body_invalid', 'the signed body is no JSON')
  }
}

/** Whether one of the `v1` signatures is by one of the secrets. Comparing is Web Crypto's, in constant time; every pair is tried. */
async function isSigned(signed: Uint8Array, signatures: string, secrets: readonly string[]): Promise<boolean> {
  const given = signatures.split(' ').flatMap((one) => (one.startsWith('v1,') ? [fromBase64(one.slice(3))] : []))
  let found = false
  for (const secret of secrets) {
    const raw = fromBase64(secret.replace(/^whsec_/, ''))
    if (raw === undefined || raw.length === 0) throw new TypeError('secret: whsec_ and base64 is needed')
    const key = await crypto.subtle.importKey('raw', raw as BufferSource, { name: 'HMAC', hash: 'SHA-256' }, false, ['verify'])
    // More than a rotation has are not a sender of ours.
    for (const signature of given.slice(0, 16)) {
      if (signature && (await crypto.subtle.verify('HMAC', key, signature as BufferSource, signed as BufferSource))) found = true
    }
  }
  return found
}

function fromBase64(text: string): Uint8Array | undefined {
  try {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
  } catch {
    return undefined
  }
}

function header(headers: HeaderSource, name: string): string {
  const record = headers as Readonly<Record<string, string | readonly string[] | undefined>>
  const value =
    typeof headers.get === 'function'
      ? (headers as Headers).get(name)
      : (record[name] ?? record[Object.keys(record).find((key) => key.toLowerCase() === name) ?? name])
  const text = typeof value === 'string' ? value : value?.length === 1 ? value[0] : undefined
  if (!text) throw new WebhookError('header_missing', `${name} is missing or given twice`)
  return text
}
