// Which texts do the parts show?

/** All texts. `{n}`, `{time}`, `{names}` and `{reason}` are filled in; numbers, times, lists and days come from `Intl` for `locale`. */
export interface Texts {
  /** BCP 47. */
  locale: string
  dir: 'ltr' | 'rtl'
  notifications: string
  unreadCount: string
  all: string
  unread: string
  archived: string
  allTypes: string
  filter: string
  empty: string
  loading: string
  failed: string
  retry: string
  more: string
  readAll: string
  read: string
  markUnread: string
  archive: string
  unarchive: string
  remove: string
  snooze: string
  oneHour: string
  tomorrow: string
  nextWeek: string
  confirm: string
  confirmed: string
  open: string
  didArchive: string
  didRemove: string
  didSnooze: string
  notDone: string
  undo: string
  urgent: string
  settings: string
  back: string
  close: string
  doNotDisturb: string
  quietUntil: string
  off: string
  quietHours: string
  from: string
  to: string
  zone: string
  kinds: string
  inbox: string
  toast: string
  desktop: string
  save: string
  saved: string
  allowDesktop: string
  desktopBlocked: string
  connecting: string
  connected: string
  waiting: string
  offline: string
  closed: string
  connectionFailed: string
  tryNow: string
  here: string
  nobody: string
  typing: string
  live: string
  newEvents: string
  pause: string
  resume: string
  connections: string
  subscriptions: string
  eventsPerSecond: string
  deliveriesPerSecond: string
  stale: string
  analytics: string
  events: string
  people: string
  groupBy: string
  type: string
  source: string
  actor: string
  priority: string
  hour: string
  day: string
  before: string
  others: string
}

/** The texts in English, which every other language follows. */
export const en: Texts = {
  locale: 'en',
  dir: 'ltr',
  notifications: 'Notifications',
  unreadCount: 'unread: {n}',
  all: 'All',
  unread: 'Unread',
  archived: 'Archived',
  allTypes: 'All kinds',
  filter: 'Kind',
  empty: 'Nothing here',
  loading: 'Loading …',
  failed: 'This could not be loaded',
  retry: 'Try again',
  more: 'Show more',
  readAll: 'Mark all as read',
  read: 'Mark as read',
  markUnread: 'Mark as unread',
  archive: 'Archive',
  unarchive: 'Move to inbox',
  remove: 'Delete',
  snooze: 'Remind me',
  oneHour: 'In an hour',
  tomorrow: 'Tomorrow',
  nextWeek: 'Next week',
  confirm: 'Confirm',
  confirmed: 'Confirmed',
  open: 'Open',
  didArchive: 'Archived',
  didRemove: 'Deleted',
  didSnooze: 'You will be reminded',
  notDone: 'That did not work',
  undo: 'Undo',
  urgent: 'Urgent',
  settings: 'Settings',
  back: 'Back',
  close: 'Close',
  doNotDisturb: 'Do not disturb',
  quietUntil: 'Quiet until {time}',
  off: 'Off',
  quietHours: 'Quiet hours',
  from: 'From',
  to: 'To',
  zone: 'Time zone',
  kinds: 'What you get',
  inbox: 'Inbox',
  toast: 'On the page',
  desktop: 'Browser',
  save: 'Save',
  saved: 'Saved',
  allowDesktop: 'Allow browser notifications',
  desktopBlocked: 'Your browser blocks notifications of this page',
  connecting: 'Connecting …',
  connected: 'Connected',
  waiting: 'Connection lost, next try in {n} s',
  offline: 'No network',
  closed: 'Disconnected',
  connectionFailed: 'No connection: {reason}',
  tryNow: 'Try now',
  here: 'Here: {n}',
  nobody: 'Nobody is here',
  typing: 'Typing: {names}',
  live: 'Live',
  newEvents: 'New: {n}',
  pause: 'Pause',
  resume: 'Resume',
  connections: 'Connections',
  subscriptions: 'Subscriptions',
  eventsPerSecond: 'Events per second',
  deliveriesPerSecond: 'Deliveries per second',
  stale: 'Not up to date',
  analytics: 'Events',
  events: 'Events',
  people: 'People',
  groupBy: 'By',
  type: 'Type',
  source: 'Source',
  actor: 'Person',
  priority: 'Priority',
  hour: 'Hour',
  day: 'Day',
  before: 'Before',
  others: 'Others',
}
