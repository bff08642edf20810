// How do preferences and the answer of their tester look?

export const means = ['inbox', 'toast', 'desktop', 'webhooks'] as const
export type Means = (typeof means)[number]

/** Where something is seen that comes by it. */
export const where: Readonly<Record<Means, string>> = {
  inbox: 'in the inbox',
  toast: 'as a toast on the page',
  desktop: 'on the desktop',
  webhooks: 'by webhooks',
}

export type Said = Readonly<Partial<Record<Means, boolean>>>

export interface QuietHours {
  readonly zone?: string
  readonly ranges?: readonly { readonly days: readonly string[]; readonly from: string; readonly to: string }[]
}

export interface Preferences {
  readonly user: string
  readonly types: Readonly<Record<string, Said>>
  readonly quiet_hours: QuietHours | null
  readonly do_not_disturb_until: string | null
  readonly locale: string | null
  readonly defaults: {
    readonly types: Readonly<Record<string, Said>>
    readonly quiet_hours: QuietHours | null
    readonly locale: string | null
  }
  readonly type_defaults: Readonly<Record<string, Said & { readonly mandatory: boolean }>>
  readonly zone: string
  readonly zone_data: string
  readonly quiet: boolean
  readonly quiet_until: string | null
  readonly next_change: string | null
}

export interface Verdict {
  readonly gets: boolean
  readonly held: boolean
  readonly why: string
}

export type Tried = Readonly<Record<Means, Verdict>> & {
  readonly user: string
  readonly type: string
  readonly priority: string
  readonly at: string
  readonly locale: string | null
  readonly zone: string
  readonly wall_clock: string
  readonly quiet: boolean
  readonly quiet_until: string | null
}

const listed = new Intl.ListFormat('en')
const order = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']
const names = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun']

/** `Mon–Fri`, `Sat and Sun`, `every day` */
export function daysInWords(days: readonly string[]): string {
  const at = order.flatMap((day, index) => (days.includes(day) ? [index] : []))
  if (at.length === 7) return 'every day'
  const isRun = at.length > 2 && at.at(-1)! - at[0]! === at.length - 1
  return isRun ? `${names[at[0]!]}–${names[at.at(-1)!]}` : listed.format(at.map((index) => names[index]!))
}

/** What the answer comes to, in one sentence or two. */
export function inWords(tried: Tried, isNow: boolean): string {
  const at = isNow ? 'now' : `at ${tried.wall_clock.replace('T', ' ').slice(0, 16)} (${tried.zone})`
  const gets = means.filter((one) => tried[one].gets).map((one) => where[one])
  const held = means.filter((one) => tried[one].held).map((one) => where[one])
  const off = means.filter((one) => !tried[one].gets && !tried[one].held).map((one) => where[one])
  const first =
    gets.length > 0
      ? `${tried.user} would get ${tried.type} ${at}: ${listed.format(gets)}.`
      : `${tried.user} would not get ${tried.type} ${at} by any means.`
  const second = held.length > 0 ? ` Quiet hours hold it ${listed.format(held)}.` : ''
  const third = off.length > 0 && gets.length > 0 ? ` It is switched off ${listed.format(off)}.` : ''
  return first + second + third
}
