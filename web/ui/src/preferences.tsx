// What does a person want to get, by which means, and when is it quiet?

import type { Means, Preferences, QuietHours, Weekday } from '@carillon/client'
import { usePreferences } from '@carillon/react'
import { useId, useState } from 'react'
import { DesktopPermission } from './desktop.js'
import { IconButton } from './icons.js'
import { snoozeTimes } from './item.js'
import { type LookProps, type Used, useLook } from './look.js'
import { clock } from './time.js'

/** What the pane of preferences may be told. */
export interface PreferencesPaneProps extends LookProps {
  /** What can be chosen: types or beginnings of types with `*`, and what they are called. */
  kinds?: readonly { type: string; label: string }[]
  /** Shows a button that leads back. */
  onBack?: () => void
}

const means = ['inbox', 'toast', 'desktop'] as const satisfies readonly Means[]
const days = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const

/** What holds for a kind: what the person says, else their tenant, else the type, else yes. */
export function effective(value: Preferences, type: string, mean: Means): { gets: boolean; isFixed: boolean } {
  const kind = value.type_defaults[type]
  const byType = kind?.defaults?.[mean] ?? true
  if (kind?.mandatory) return { gets: byType, isFixed: true }
  return { gets: value.types?.[type]?.[mean] ?? value.defaults.types?.[type]?.[mean] ?? byType, isFixed: false }
}

/** What somebody wants to get and when not, to be looked at and changed. */
export function PreferencesPane({ kinds = [], onBack, ...own }: PreferencesPaneProps) {
  const look = useLook(own)
  const { t, say } = look
  const id = useId()
  const { value, status, change, reload } = usePreferences()
  const [told, setTold] = useState('')
  const save = (some: Parameters<typeof change>[0]) => {
    setTold('')
    change(some).then(
      () => setTold(t.saved),
      () => setTold(t.notDone),
    )
  }
  const choose = (type: string, mean: Means, gets: boolean) =>
    save({ types: { ...value?.types, [type]: { ...value?.types?.[type], [mean]: gets } } })
  const quietFor = (which: string) => {
    const { oneHour, tomorrow } = snoozeTimes(new Date())
    save({
      do_not_disturb_until: which === 'oneHour' ? oneHour.toISOString() : which === 'tomorrow' ? tomorrow.toISOString() : null,
    })
  }
  return (
    <section {...look.root('preferences')} aria-labelledby={`${id}h`}>
      <header className="crln-row crln-head">
        {onBack && <IconButton name="back" label={t.back} onClick={onBack} />}
        <h2 id={`${id}h`}>{t.settings}</h2>
      </header>
      {!value ? (
        <p className="crln-empty">
          {status === 'failed' ? t.failed : t.loading}{' '}
          {status === 'failed' && (
            <button type="button" className="crln-button" onClick={() => void reload()}>
              {t.retry}
            </button>
          )}
        </p>
      ) : (
        <>
          <div className="crln-row">
            <label htmlFor={`${id}d`}>{t.doNotDisturb}</label>
            <select
              id={`${id}d`}
              className="crln-button"
              value={value.do_not_disturb_until && Date.parse(value.do_not_disturb_until) > Date.now() ? 'on' : 'off'}
              onChange={(event) => quietFor(event.target.value)}
            >
              {value.do_not_disturb_until && (
                <option value="on" hidden>
                  {say(t.quietUntil, { time: clock(value.do_not_disturb_until, t.locale) })}
                </option>
              )}
              <option value="off">{t.off}</option>
              <option value="oneHour">{t.oneHour}</option>
              <option value="tomorrow">{t.tomorrow}</option>
            </select>
          </div>
          {value.quiet && value.quiet_until && (
            <p className="crln-note">{say(t.quietUntil, { time: clock(value.quiet_until, t.locale) })}</p>
          )}
          <QuietHoursForm
            key={JSON.stringify(value.quiet_hours)}
            look={look}
            value={value}
            onSave={(quiet_hours) => save({ quiet_hours })}
          />
          {kinds.length > 0 && (
            <table className="crln-table">
              <caption>{t.kinds}</caption>
              <thead>
                <tr>
                  <th scope="col">{t.type}</th>
                  {means.map((mean) => (
                    <th key={mean} scope="col">
                      {t[mean]}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {kinds.map(({ type, label }) => (
                  <tr key={type}>
                    <th scope="row">{label}</th>
                    {means.map((mean) => {
                      const { gets, isFixed } = effective(value, type, mean)
                      return (
                        <td key={mean}>
                          <input
                            type="checkbox"
                            aria-label={`${label}: ${t[mean]}`}
                            checked={gets}
                            disabled={isFixed}
                            onChange={(event) => choose(type, mean, event.target.checked)}
                          />
                        </td>
                      )
                    })}
                  </tr>
                ))}
              </tbody>
            </table>
          )}
          <DesktopPermission look={look} />
        </>
      )}
      <p role="status" className="crln-done">
        {told}
      </p>
    </section>
  )
}

interface QuietHoursFormProps {
  look: Used
  value: Preferences
  onSave: (hours: QuietHours) => void
}

function QuietHoursForm({ look: { t }, value, onSave }: QuietHoursFormProps) {
  const id = useId()
  const range = (value.quiet_hours?.ranges ?? value.defaults.quiet_hours?.ranges)?.[0]
  const [on, setOn] = useState<readonly Weekday[]>(range?.days ?? [])
  const [from, setFrom] = useState(range?.from ?? '22:00')
  const [to, setTo] = useState(range?.to ?? '07:00')
  const zones = typeof Intl.supportedValuesOf === 'function' ? Intl.supportedValuesOf('timeZone') : []
  const mine = value.quiet_hours?.zone ?? value.zone
  const [zone, setZone] = useState(value.quiet_hours?.zone ? mine : Intl.DateTimeFormat().resolvedOptions().timeZone || mine)
  const dayName = (at: number) =>
    new Date(Date.UTC(2024, 0, 1 + at)).toLocaleDateString(t.locale, { weekday: 'short', timeZone: 'UTC' })
  // Ranges beyond the first, which an application may have set, stay.
  const others = value.quiet_hours?.ranges?.slice(1) ?? []
  const save = () => onSave({ zone, ranges: on.length > 0 ? [{ days: on, from, to }, ...others] : [] })
  return (
    <fieldset className="crln-fieldset">
      <legend>{t.quietHours}</legend>
      <div className="crln-row">
        {days.map((day, at) => (
          <label key={day} className="crln-day">
            <input
              type="checkbox"
              checked={on.includes(day)}
              onChange={() => setOn(days.filter((one) => (one === day ? !on.includes(one) : on.includes(one))))}
            />
            {dayName(at)}
          </label>
        ))}
      </div>
      <div className="crln-row">
        <label htmlFor={`${id}f`}>{t.from}</label>
        <input id={`${id}f`} className="crln-button" type="time" value={from} onChange={(event) => setFrom(event.target.value)} />
        <label htmlFor={`${id}t`}>{t.to}</label>
        <input id={`${id}t`} className="crln-button" type="time" value={to} onChange={(event) => setTo(event.target.value)} />
      </div>
      <div className="crln-row">
        <label htmlFor={`${id}z`}>{t.zone}</label>
        <select id={`${id}z`} className="crln-button" value={zone} onChange={(event) => setZone(event.target.value)}>
          {[...new Set([zone, ...zones])].map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <button type="button" className="crln-button crln-primary" onClick={save}>
          {t.save}
        </button>
      </div>
    </fieldset>
  )
}
