// Every part in every state: one page each, as `?story=<name>&scheme=dark`.

import type { InboxItem } from '@carillon/client'
import { CarillonProvider } from '@carillon/react'
import { type ReactNode, StrictMode, useEffect } from 'react'
import { createRoot } from 'react-dom/client'
import { createFake, type Fake, faultOf } from '../../testing/fake-client.js'
import {
  AnalyticsDashboard,
  Bell,
  CarillonLook,
  ConnectionStatus,
  Inbox,
  LiveFeed,
  PreferencesPane,
  PresenceList,
  StatCards,
  type Texts,
  Toaster,
  TypingLine,
} from '../src/index.js'
import { ar } from '../src/locales/ar.js'
import { de } from '../src/locales/de.js'
import { es } from '../src/locales/es.js'
import { fr } from '../src/locales/fr.js'
import { hi } from '../src/locales/hi.js'
// @ts-expect-error: a style sheet has no types
import '../src/style.css'

interface Story {
  show: ReactNode
  /** What the client says before the page is drawn. */
  before?: (fake: Fake) => void
  /** And after. */
  after?: (fake: Fake) => void
  texts?: Texts
}

const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString()
const item = (seq: number, more: Partial<InboxItem> & { title: string }): InboxItem => ({
  seq,
  id: `n-${seq}`,
  type: 'notice',
  priority: 'normal',
  time: ago((60 - seq) * 400),
  read: false,
  seen: true,
  archived: false,
  requires_ack: false,
  ...more,
})
const items = [
  item(50, {
    title: 'Ana confirmed her appointment',
    body: 'Tomorrow at 14:30, with Mila.',
    action: '/appointments/7',
    type: 'appointment.confirmed',
  }),
  item(49, {
    title: 'The branch closes at four today',
    body: 'Please move what is later.',
    priority: 'urgent',
    requires_ack: true,
    type: 'branch.notice',
  }),
  item(48, { title: 'New messages', count: 12, group: 'chat', read: true, type: 'message.received' }),
  item(47, { title: 'Payment of 120 € received', read: true, acked_at: ago(9000), requires_ack: true, type: 'payment.received' }),
  item(40, { title: 'Averyveryverylongwordthatdoesnotfitintoonelineofanarrowpaneandmustbebroken', read: true }),
  item(30, { title: 'Old and put away', archived: true, read: true }),
]
const kinds = [
  { type: 'appointment.*', label: 'Appointments' },
  { type: 'payment.*', label: 'Payments' },
  { type: 'system.alert', label: 'Alerts' },
]
const withItems = (fake: Fake) => fake.inbox(items)
const people = ['Mila Novak', 'Jan', 'Ana Ruiz', 'Omar Haddad', 'Priya', 'Lena', 'Tom', 'Zoë', 'Karl', 'Ida']
const hours = Array.from({ length: 24 }, (_, hour) => ({
  key: new Date(Date.UTC(2026, 10, 28, hour)).toISOString(),
  count: Math.round(60 + 50 * Math.sin(hour / 4)),
  people: 3,
}))
const analytics = (more: object) => (fake: Fake) =>
  fake.answers.set('/v1/analytics', {
    by: 'type',
    from: ago(86400),
    to: ago(0),
    events: 1520,
    people: 38,
    more_people: false,
    previous: { from: ago(172800), to: ago(86400), events: 1302, people: 41 },
    behind: { events: 0, seconds: 0 },
    ...more,
  })
const rows = [
  { key: 'order.paid', count: 1100, previous: 990 },
  { key: 'order.sent', count: 420, previous: 312 },
  { key: null, count: 3 },
]
const stats = {
  connections: 1284,
  subscriptions: 3102,
  events_per_second: 14.5,
  deliveries_per_second: 412,
  nodes: [],
  stale: false,
}
const events = (fake: Fake) => {
  for (let n = 0; n < 6; n += 1)
    fake.emit(n % 2 ? 'order.paid' : 'bot.message.received', n % 2 ? { total: n } : 'When do you open?', {
      actor: 'mila',
      time: ago(60 - n),
    })
}
const preferences = (fake: Fake) =>
  fake.preferences({
    quiet: true,
    quiet_until: new Date(Date.now() + 3_600_000).toISOString(),
    types: { 'payment.*': { toast: false } },
    type_defaults: { 'system.alert': { mandatory: true } },
    quiet_hours: { zone: 'Europe/Berlin', ranges: [{ days: ['mon', 'tue', 'wed', 'thu', 'fri'], from: '22:00', to: '07:00' }] },
  })
const page = (
  <>
    <div style={{ display: 'flex', justifyContent: 'end' }}>
      <Bell kinds={kinds} />
    </div>
    <Inbox kinds={kinds} />
    <ConnectionStatus always />
    <PresenceList channel="branch:1" />
    <TypingLine channel="branch:1" />
    <PreferencesPane kinds={kinds} />
    <LiveFeed />
    <StatCards />
    <AnalyticsDashboard />
  </>
)
const everything = (fake: Fake) => {
  withItems(fake)
  preferences(fake)
  analytics({ rows })(fake)
  fake.answers.set('/v1/stats', stats)
  fake.presence(
    'branch:1',
    people.slice(0, 3).map((name) => ({ user: name, meta: { name } })),
  )
  fake.typing('branch:1', ['Mila', 'Jan'])
}

export const stories: Record<string, Story> = {
  bell: { show: <Bell kinds={kinds} />, before: withItems },
  'bell-at-start': {
    show: (
      <div style={{ float: 'inline-start', width: 'fit-content' }}>
        <Bell kinds={kinds} />
      </div>
    ),
    before: withItems,
  },
  hostile: {
    show: <Inbox />,
    before: (fake) =>
      fake.inbox([item(3, { title: '<img src=x onerror=alert(1)>', body: '<script>1</script>', action: 'javascript:alert(1)' })]),
  },
  'bell-many': { show: <Bell />, before: (fake) => fake.summary({ unread: 100, unseen: 3, more: true }) },
  'bell-none': { show: <Bell />, before: (fake) => fake.summary({}) },
  inbox: { show: <Inbox kinds={kinds} />, before: withItems },
  'inbox-more': { show: <Inbox />, before: (fake) => fake.inbox(items, { hasMore: true }) },
  'inbox-loading': { show: <Inbox /> },
  'inbox-empty': { show: <Inbox />, before: (fake) => fake.inbox([]), after: (fake) => fake.inbox([]) },
  'inbox-failed': { show: <Inbox />, after: (fake) => fake.inbox([], { status: 'failed', error: faultOf('network') }) },
  'inbox-own': {
    show: (
      <Inbox
        preferences={false}
        renderItem={(one, actions) => (
          <article>
            <button type="button" className="crln-button" onClick={actions.read}>
              {one.title}
            </button>
          </article>
        )}
        appearance={{ variables: { '--crln-radius': '0' }, classNames: { inbox: 'mine' } }}
      />
    ),
    before: withItems,
  },
  preferences: { show: <PreferencesPane kinds={kinds} />, before: preferences },
  'preferences-plain': { show: <PreferencesPane /> },
  toaster: {
    show: <Toaster duration={3_600_000} />,
    after: (fake) => {
      fake.notice({ title: 'Ana confirmed', body: 'Tomorrow at 14:30', action: '/appointments/7' }, 'appointment.confirmed')
      fake.notice({ title: 'The till is offline', priority: 'urgent' }, 'system.alert')
    },
  },
  'toaster-empty': { show: <Toaster duration={3_600_000} /> },
  'status-open': { show: <ConnectionStatus always /> },
  'status-waiting': {
    show: <ConnectionStatus />,
    after: (fake) =>
      fake.state({
        status: 'waiting',
        code: 'close_1006',
        reason: 'the connection was lost',
        attempt: 3,
        retryAt: Date.now() + 12_000,
      }),
  },
  'status-failed': {
    show: <ConnectionStatus />,
    after: (fake) => fake.state({ status: 'failed', code: 'unauthorized', reason: 'the token was refused' }),
  },
  'status-offline': {
    show: <ConnectionStatus />,
    after: (fake) => fake.state({ status: 'offline', code: 'offline', reason: 'no network' }),
  },
  presence: {
    show: <PresenceList channel="branch:1" />,
    before: (fake) =>
      fake.presence(
        'branch:1',
        people.map((name) => ({ user: name, meta: { name } })),
      ),
  },
  'presence-stale': {
    show: <PresenceList channel="branch:1" />,
    before: (fake) => fake.presence('branch:1', [{ user: 'mila' }], { stale: true }),
  },
  'presence-nobody': { show: <PresenceList channel="branch:1" />, before: (fake) => fake.presence('branch:1', []) },
  typing: {
    show: <TypingLine channel="branch:1" />,
    before: (fake) => fake.typing('branch:1', ['Mila', 'Jan', 'Ana', 'Omar', 'Ida']),
  },
  'live-feed': {
    show: (
      <LiveFeed
        describe={(event) =>
          `${event.type} ${typeof event.data === 'string' ? event.data : (event.data as { total: number }).total}`
        }
      />
    ),
    after: events,
  },
  'live-feed-empty': { show: <LiveFeed /> },
  stats: { show: <StatCards />, before: (fake) => fake.answers.set('/v1/stats', stats) },
  'stats-own': {
    show: (
      <StatCards
        cards={[
          { label: 'Free staff', value: 4, before: 3 },
          { label: 'Next', value: '14:30' },
        ]}
      />
    ),
  },
  'stats-failed': { show: <StatCards />, before: (fake) => fake.answers.set('/v1/stats', faultOf('network')) },
  analytics: { show: <AnalyticsDashboard />, before: analytics({ rows }) },
  'analytics-hours': {
    show: <AnalyticsDashboard query={{ by: 'hour' }} />,
    before: analytics({ rows: hours, previous: undefined }),
  },
  'analytics-failed': { show: <AnalyticsDashboard />, before: (fake) => fake.answers.set('/v1/analytics', faultOf('forbidden')) },
  'page-de': { show: page, before: everything, texts: de },
  'page-fr': { show: page, before: everything, texts: fr },
  'page-es': { show: page, before: everything, texts: es },
  'page-ar': { show: page, before: everything, texts: ar },
  'page-hi': { show: page, before: everything, texts: hi },
}

const query = new URLSearchParams(location.search)
const scheme = query.get('scheme') === 'dark' ? 'dark' : 'light'
const story = stories[query.get('story') ?? '']
const fake = createFake()
Object.assign(globalThis, { fake, storyNames: Object.keys(stories) })
document.documentElement.style.colorScheme = query.has('own-scheme') ? scheme : 'light dark'
document.documentElement.lang = story?.texts?.locale ?? 'en'
document.documentElement.dir = story?.texts?.dir ?? 'ltr'
document.body.style.fontFamily = 'system-ui, sans-serif'
document.body.style.background = 'light-dark(#fafbfc, #0d0e11)'
story?.before?.(fake)

let isSaid = false
/** Stands behind the parts: what is said after them is said when they have begun to listen, and drawn a frame later. */
function Drawn() {
  useEffect(() => {
    // Not in StrictMode's first mount, whose listeners end.
    queueMicrotask(() => {
      if (isSaid) return
      isSaid = true
      story?.after?.(fake)
      requestAnimationFrame(() =>
        requestAnimationFrame(() => requestAnimationFrame(() => document.body.setAttribute('data-drawn', ''))),
      )
    })
  }, [])
  return null
}
createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <CarillonProvider client={fake.client}>
      <CarillonLook
        {...(story?.texts && { localization: story.texts })}
        {...(query.has('own-scheme') && { appearance: { scheme } })}
      >
        <main style={{ maxWidth: 460, margin: '16px auto', display: 'grid', gap: 16 }}>
          <h1 style={{ position: 'absolute', opacity: 0 }}>{query.get('story')}</h1>
          {story?.show}
          <Drawn />
        </main>
      </CarillonLook>
    </CarillonProvider>
  </StrictMode>,
)
