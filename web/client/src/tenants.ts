/** Which clients for other tenants belong to a client, and what do they have together? */

import type { Kit } from './features.js'
import type { Shared } from './shared.js'
import type { Client, ClientOptions, TokenReason } from './types.js'

/** Between two tenants a connection is kept for so long. */
const SWITCH_MS = 5_000

/** What a client of one of several tenants is given by the one that has attached it. */
export interface Together extends Pick<Client, 'attach' | 'detach' | 'identify'> {
  shared(): Promise<Shared>
}

export interface Made {
  readonly client: Client
  identify(person: string | null): void
}

export function createTenants(kit: Kit, together: Together | null) {
  const attached = new Map<string, Made>()
  let shared: Shared | null = null
  let loading: Promise<Shared> | null = null
  let isShared = !!together
  /** Of a client without one, the token's. */
  const present = () => kit.tenant() ?? (kit.stream.tenant || undefined)

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
    load().then(() => kit.connection()?.share(), kit.report)
  }

  const attach: Client['attach'] = (tenant, more) => {
    if (together) return together.attach(tenant, more)
    if (tenant === present()) return kit.client()
    share()
    const known = attached.get(tenant)
    if (known) return known.client
    const { options } = kit
    const own = {
      ...options,
      position: undefined,
      ...more,
      tenant,
      name: options.name && `${options.name} ${tenant}`,
      getToken: ({ reason }: { reason: TokenReason }) => kit.token(kit.persons(), reason),
    }
    const made = kit.make(own as ClientOptions, { attach, detach, identify: kit.identify, shared: load })
    attached.set(tenant, made)
    return made.client
  }
  const detach: Client['detach'] = (tenant) => {
    if (together) return together.detach(tenant)
    if (tenant === present()) kit.misuse('detach: use switch() or close()')
    attached.get(tenant)?.client.close()
    attached.delete(tenant)
  }

  const switchTo: Client['switch'] = (to) => {
    if (to === present()) return
    if (together || attached.has(to)) return kit.misuse(`switch: ${to} has a client`)
    share()
    kit.move(to, () => shared?.keep(SWITCH_MS))
  }

  return {
    members: { attach, detach, switch: switchTo },
    /** Null: the connection is this client's alone, or how it is shared is not known yet. */
    get now() {
      return shared
    },
    /** Before a link is made it is known how. */
    ready: async () => void (isShared && (await load())),
    each(then: (made: Made) => void) {
      for (const one of attached.values()) then(one)
    },
  }
}
