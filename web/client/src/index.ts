/** What does `@carillon/client` offer? */

import { make } from './client.js'
import { features } from './features.js'
import type { AnyEvents, Client, ClientOptions } from './types.js'

/** A client with everything. It connects once something is asked of it. */
export const createClient = <Events extends object = AnyEvents>(options: ClientOptions): Client<Events> =>
  make(options, null, features).client as Client<Events>

export { CarillonError, Unauthorized } from './errors.js'
export { formatPosition, parsePosition } from './position.js'
export type {
  AnyEvents,
  AttachOptions,
  CarillonEvent,
  Channel,
  Client,
  ClientOptions,
  ConnectionState,
  ConnectionStatus,
  CoreChannel,
  CoreClient,
  EventType,
  Handler,
  HandlerOptions,
  HistoryPage,
  Identity,
  Inbox,
  InboxFilter,
  InboxItem,
  InboxList,
  InboxListSnapshot,
  InboxPage,
  InboxSummary,
  Live,
  LiveOptions,
  LiveSnapshot,
  Matching,
  Means,
  Member,
  Notify,
  Pattern,
  Position,
  PositionLike,
  Preferences,
  PreferencesAccess,
  PreferencesInput,
  PreferencesTest,
  Presence,
  PresenceSnapshot,
  Priority,
  Published,
  PublishOptions,
  QuietHours,
  RequestOptions,
  RestAnswer,
  Resync,
  Signal,
  StorageLike,
  TokenReason,
  Transport,
  TypePreferences,
  Typing,
  Unsubscribe,
  Verdict,
  Weekday,
} from './types.js'
