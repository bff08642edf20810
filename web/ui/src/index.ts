'use client'
// @carillon/ui: parts of a page. Import `@carillon/ui/style.css` once.

export { Bell } from './bell.js'
export { ConnectionStatus, type ConnectionStatusProps } from './connection.js'
export { Inbox, type InboxProps } from './inbox.js'
export type { ItemActions } from './item.js'
export { LiveFeed, type LiveFeedProps } from './live-feed.js'
export { type Appearance, CarillonLook, type LookProps } from './look.js'
export { AnalyticsDashboard, type AnalyticsDashboardProps, type Card, StatCards, type StatCardsProps } from './numbers.js'
export { PresenceList, type PresenceListProps, TypingLine, type TypingLineProps } from './people.js'
export { PreferencesPane, type PreferencesPaneProps } from './preferences.js'
export { en, type Texts } from './texts.js'
export { Toaster, type ToasterProps } from './toaster.js'
