/** What does `@carillon/client/core` offer? Events, and what keeps them whole; a page that wants no more loads 3 KiB less. */

import { make } from './client.js'
import type { AnyEvents, ClientOptions, CoreClient } from './types.js'

/**
 * A client that hears: one connection that resumes, shared by all tabs; channels, `identify`. Without `publish`, people, history, rows, the inbox,
 * requests, several tenants, `storage` and `device`, which `@carillon/client` has.
 */
export const createClient = <Events extends object = AnyEvents>(
  options: Omit<ClientOptions, 'storage' | 'device'>,
): CoreClient<Events> => make(options).client as unknown as CoreClient<Events>

export { CarillonError, Unauthorized } from './errors.js'
export { formatPosition, parsePosition } from './position.js'
export type { ClientOptions, CoreChannel, CoreClient } from './types.js'
