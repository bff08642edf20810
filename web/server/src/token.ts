// How is a user token made?

/** Whom a token names, what they may, and until when. */
export interface TokenOptions {
  /** The shared secret of the installation (`CARILLON_JWT_SECRET`), at least 16 bytes. */
  secret: string | Uint8Array
  /** `sub`: 1–128 bytes. */
  user: string
  /** Seconds from now; default 3,600. */
  expiresIn?: number
  /** The default tenant. */
  tenant?: string
  /** Roles in `tenant`, at most 256. */
  roles?: readonly string[]
  /** For people of several tenants: roles by tenant. */
  tenants?: Readonly<Record<string, readonly string[]>>
  /** Channels beyond the user's own: names, or beginnings with one `*` at the end. */
  channels?: readonly string[]
  /** `publish`, `admin`. */
  caps?: readonly string[]
  /** What others see of the user where they are seen: at most 1 KiB of JSON. */
  meta?: unknown
  /** `aud`, where the installation checks one. */
  audience?: string | readonly string[]
  /** `iss`, where the installation checks one. */
  issuer?: string
  /** Milliseconds since 1970; default now. */
  now?: number
}

const encoder = new TextEncoder()
const bytesOf = (text: string) => encoder.encode(text)

/**
 * A user token, signed with HS256. It has `iat`, so that a person who was disconnected can come back with a newer one.
 *
 * Throws a TypeError for what the installation would refuse.
 */
export async function token(options: TokenOptions): Promise<string> {
  const secret = typeof options.secret === 'string' ? bytesOf(options.secret) : options.secret
  if (secret.length < 16) throw new TypeError('secret: at least 16 bytes are needed, 32 or more are recommended')
  const size = bytesOf(options.user ?? '').length
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (size < 1 || size > 128 || /[\x00-\x1f\x7f-\x9f]/.test(options.user))
    throw new TypeError('user: 1 to 128 bytes without control characters are needed')
  const lifetime = options.expiresIn ?? 3600
  if (!Number.isFinite(lifetime) || lifetime < 1) throw new TypeError('expiresIn: at least one second is needed')
  if (options.meta !== undefined && bytesOf(JSON.stringify(options.meta)).length > 1024)
    throw new TypeError('meta: at most 1 KiB of JSON is taken')
  if ((options.roles?.length ?? 0) > 256) throw new TypeError('roles: at most 256 are taken')
  if (options.roles?.length && options.tenant === undefined)
    throw new TypeError('roles: they are roles in `tenant`, which is missing; name it, or use `tenants`')

  const iat = Math.floor((options.now ?? Date.now()) / 1000)
  const { tenant, roles, tenants, channels, caps, meta, audience: aud, issuer: iss } = options
  const claims = {
    sub: options.user,
    iat,
    exp: iat + Math.floor(lifetime),
    tenant,
    roles,
    tenants,
    channels,
    caps,
    meta,
    aud,
    iss,
  }
  if (claims.exp > 253_402_300_799) throw new TypeError('expiresIn: a token ends in the year 9999 at the latest')
  const signed = `${base64url(bytesOf('{"alg":"HS256","typ":"JWT"}'))}.${base64url(bytesOf(JSON.stringify(claims)))}`
  const key = await crypto.subtle.importKey('raw', secret as BufferSource, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  const made = `${signed}.${base64url(new Uint8Array(await crypto.subtle.sign('HMAC', key, bytesOf(signed))))}`
  if (made.length > 8192)
    throw new TypeError(`the token has ${made.length} bytes, and at most 8,192 are taken: name fewer channels or roles`)
  return made
}

function base64url(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
}
