/** Which clients for other tenants belong to a client, and what do they have together? */

import type { Shared } from './shared.js'
import type { Client, ClientOptions, TokenReason } from './types.js'

/** What a client of one of several tenants is given by the one that has attached it. */
export interface Together extends Pick<Client, 'attach' | 'detach' | 'identify'> {
  shared(): Promise<Shared>
}

export interface Made {
  readonly client: Client
  identify(person: string | null): void
}

export interface TenantsHost {
  readonly options: ClientOptions
  tenant(): string | undefined
  client(): Client
  make(options: ClientOptions, together: Together): Made
  token(reason: TokenReason): Promise<string>
  identify(person: string | null): void
  /** The connection is shared from now on. */
  shares(): void
  misuse(message: string): void
  report(error: unknown): void
}

export function createTenants(host: TenantsHost, together: Together | null) {
  const attached = new Map<string, Made>()
  let shared: Shared | null = null
  let loading: Promise<Shared> | null = null
  let isShared = !!together

  function load(): Promise<Shared> {
    loading ??= (together ? together.shared() : import('./shared.js').then(({ createShared }) => createShared())).then(
      (made) => {
        shared = made
        return made
      },
      (error) => {
        loading = null
        throw error
      },
    )
    return loading
  }
  function share() {
    if (isShared) return
    isShared = true
    load().then(host.shares, host.report)
  }

  const attach: Client['attach'] = (tenant, more) => {
    if (together) return together.attach(tenant, more)
    if (tenant === host.tenant()) return host.client()
    share()
    const known = attached.get(tenant)
    if (known) return known.client
    const { options } = host
    const own = {
      ...options,
      position: undefined,
      ...more,
      tenant,
      name: options.name && `${options.name} ${tenant}`,
      getToken: ({ reason }: { reason: TokenReason }) => host.token(reason),
    }
    const made = host.make(own as ClientOptions, { attach, detach, identify: host.identify, shared: load })
    attached.set(tenant, made)
    return made.client
  }
  const detach: Client['detach'] = (tenant) => {
    if (together) return together.detach(tenant)
    if (tenant === host.tenant()) host.misuse(`detach('${tenant}'): that is the client's own tenant: switch(), or close()`)
    attached.get(tenant)?.client.close()
    attached.delete(tenant)
  }

  return {
    attach,
    detach,
    share,
    /** Null: the connection is this client's alone, or how it is shared is not known yet. */
    get now() {
      return shared
    },
    /** Before a link is made it is known how. */
    ready: async () => void (isShared && (await load())),
    isOfAnother: (tenant: string) => !!together || attached.has(tenant),
    each(then: (made: Made) => void) {
      for (const one of attached.values()) then(one)
    },
  }
}
