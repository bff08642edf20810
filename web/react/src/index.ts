'use client'
// @carillon/react: hooks that stand on a client of @carillon/client.

export { type ChannelStatus, useChannel, useConnection } from './connection.js'
export { type EventListOptions, type EventOptions, useEvent, useEvents } from './events.js'
export { useInbox, useInboxSummary, useNotice, useUnreadCount } from './inbox.js'
export { type LiveQuery, type Reducer, useLive } from './live.js'
export {
  type Analytics,
  type AnalyticsQuery,
  type Asked,
  type RepeatOptions,
  type Stats,
  useAnalytics,
  useStats,
} from './numbers.js'
export { usePresence, useTyping } from './people.js'
export { type PreferencesActions, usePreferences } from './preferences.js'
export { CarillonProvider, type CarillonProviderProps, useClient } from './provider.js'
export type { Answer } from './query.js'
