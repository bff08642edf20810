/** Which token is used, and when is another asked for? */

import { claims } from './claims.js'
import { CarillonError, Unauthorized } from './errors.js'
import { LATE, TOKEN_MS } from './machine.js'
import type { ClientOptions, TokenReason } from './types.js'

/** A token that ends sooner is not used for a new connection. */
const FRESH_MS = 60_000

export interface Tokens {
  get(reason: TokenReason): Promise<string>
  /** The server says so: the clock of this machine may be wrong by hours. */
  lasts(seconds: number): void
  forget(): void
}

export function createTokens(getToken: ClientOptions['getToken']): Tokens {
  let token: string | null = null
  let endsAt = 0
  let asking: Promise<string> | null = null
  let generation = 0

  async function ask(reason: TokenReason, mine: number): Promise<string> {
    let timer: ReturnType<typeof setTimeout> | undefined
    try {
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new CarillonError('token_timeout', LATE)), TOKEN_MS)
      })
      const fresh = await Promise.race([Promise.resolve().then(() => getToken({ reason })), late])
      if (!fresh) throw new Unauthorized()
      if (mine === generation) {
        token = fresh
        endsAt = performance.now() + ((claims(fresh).exp ?? 0) * 1000 - Date.now())
      }
      return fresh
    } catch (error) {
      if (error instanceof CarillonError) throw error
      throw new CarillonError('token_failed', `getToken failed: ${(error as Error)?.message ?? error}`, { cause: error })
    } finally {
      clearTimeout(timer)
      if (mine === generation) asking = null
    }
  }

  return {
    get(reason) {
      if (asking) return asking
      if (token && reason === 'connect' && endsAt - performance.now() > FRESH_MS) return Promise.resolve(token)
      asking = ask(reason, generation)
      return asking
    },
    lasts(seconds) {
      endsAt = performance.now() + seconds * 1000
    },
    forget() {
      generation++
      token = asking = null
    },
  }
}
