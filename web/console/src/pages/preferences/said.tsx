// What do somebody, their tenant and the types say about what they get?

import { get } from '../../api.js'
import { useAsk } from '../../ask.js'
import { ago, dateTime } from '../../format.js'
import { Badge, Facts, Panel } from '../../parts/page.js'
import { Answer } from '../../parts/states.js'
import { daysInWords, means, type Preferences, type QuietHours, type Said as What } from './shapes.js'

export function Said({ tenant, user, type }: { tenant: string; user: string; type: string }) {
  const said = useAsk(`preferences of ${tenant} ${user}`, (signal) =>
    get<Preferences>('/v1/preferences', { signal, query: { tenant, user } }),
  )
  return (
    <Panel
      title={`What is said about ${user}`}
      actions={said.value && (said.value.quiet ? <Badge tone="warn">quiet now</Badge> : <Badge tone="good">not quiet now</Badge>)}
    >
      <Answer of={said} what="the preferences">
        {(value) => (
          <Facts
            of={[
              ['Their types', typesOf(value.types, type)],
              ['Their quiet hours', <Hours key="own" of={value.quiet_hours} />],
              [
                'Do not disturb',
                value.do_not_disturb_until
                  ? `until ${dateTime(value.do_not_disturb_until)} (${ago(value.do_not_disturb_until)})`
                  : 'not said',
              ],
              ['Their language', value.locale ?? value.defaults.locale ?? 'not said'],
              ["The tenant's types", typesOf(value.defaults.types, type)],
              ["The tenant's quiet hours", <Hours key="tenant" of={value.defaults.quiet_hours} />],
              ['The types themselves', typesOf(value.type_defaults, type)],
              ['Next change', value.next_change ? `${dateTime(value.next_change)} (${ago(value.next_change)})` : 'none in sight'],
              ['Zone', `${value.zone}, by release ${value.zone_data} of the zone data`],
            ]}
          />
        )}
      </Answer>
    </Panel>
  )
}

/** What is said by type; what is about the type that is asked for stands first. */
function typesOf(types: Readonly<Record<string, What & { readonly mandatory?: boolean }>>, asked: string) {
  const about = (pattern: string) =>
    pattern === asked || (pattern.endsWith('*') && asked.startsWith(pattern.slice(0, -1))) ? 0 : 1
  const rows = Object.entries(types).sort(([a], [b]) => about(a) - about(b) || a.localeCompare(b))
  if (rows.length === 0) return 'not said'
  return (
    <ul className="said">
      {rows.slice(0, 8).map(([pattern, says]) => (
        <li key={pattern} className="row">
          <code>{pattern}</code>
          {says.mandatory && <Badge tone="accent">mandatory</Badge>}
          {means
            .filter((one) => says[one] !== undefined)
            .map((one) => (
              <Badge key={one} tone={says[one] ? 'good' : 'bad'}>
                {one} {says[one] ? 'on' : 'off'}
              </Badge>
            ))}
        </li>
      ))}
      {rows.length > 8 && <li className="help">and {rows.length - 8} more, which are about other types</li>}
    </ul>
  )
}

function Hours({ of }: { of: QuietHours | null }) {
  if (!of?.ranges) return of?.zone ? `not said, by the clocks of ${of.zone}` : 'not said'
  if (of.ranges.length === 0) return 'never'
  return (
    <ul className="said">
      {of.ranges.map(({ days, from, to }) => (
        <li key={`${days} ${from} ${to}`}>
          {daysInWords(days)}, {from}–{to}
          {of.zone && ` (${of.zone})`}
        </li>
      ))}
    </ul>
  )
}
