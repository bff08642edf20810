// Who is here, and who types?

import type { Member } from '@carillon/client'
import { usePresence, useTyping } from '@carillon/react'
import type { ReactNode } from 'react'
import { type LookProps, useLook } from './look.js'
import { useAnnounced } from './time.js'

/** What the list of who is here may be told. */
export interface PresenceListProps extends LookProps {
  channel: string
  /** How many are drawn; the others are a number. Default 8. */
  limit?: number
  /** What a person is called and looks like. Default: `meta.name`, `meta.avatar`, else the user id. */
  describe?: (member: Member) => { name: string; avatar?: string | undefined }
  renderItem?: (member: Member) => ReactNode
}

const described = ({ user, meta }: Member) => {
  const { name, avatar } = (typeof meta === 'object' && meta !== null ? meta : {}) as { name?: unknown; avatar?: unknown }
  return { name: typeof name === 'string' ? name : user, avatar: typeof avatar === 'string' ? avatar : undefined }
}

const initials = (name: string) =>
  name
    .split(/[\s._-]+/)
    .slice(0, 2)
    .map((word) => [...word][0] ?? '')
    .join('')
    .toUpperCase()

/** One of eight colours, the same for the same person everywhere. */
const hue = (text: string) => [...text].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 997, 7) % 8

/** Who is in a channel, with their names or pictures. */
export function PresenceList({ channel, limit = 8, describe = described, renderItem, ...own }: PresenceListProps) {
  const look = useLook(own)
  const { t, say } = look
  const { members, count, stale, error } = usePresence(channel)
  const drawn = members.slice(0, limit)
  return (
    <div {...look.root('presence')} data-stale={stale || undefined}>
      {error ? (
        <p className="crln-note">{error.message}</p>
      ) : count === 0 ? (
        <p className="crln-note">{stale ? t.loading : t.nobody}</p>
      ) : (
        <ul className="crln-avatars" aria-label={say(t.here, { n: count })}>
          {drawn.map((member) => {
            if (renderItem) return <li key={member.user}>{renderItem(member)}</li>
            const { name, avatar } = describe(member)
            return (
              <li key={member.user} className="crln-avatar" data-hue={hue(member.user)} title={name}>
                {avatar ? (
                  <img src={avatar} alt={name} />
                ) : (
                  <span role="img" aria-label={name}>
                    {initials(name)}
                  </span>
                )}
              </li>
            )
          })}
          {count > drawn.length && <li className="crln-avatar crln-more">{`+${look.number(count - drawn.length)}`}</li>}
        </ul>
      )}
      {stale && count > 0 && <p className="crln-note">{t.stale}</p>}
    </div>
  )
}

/** What the line of who types may be told. */
export interface TypingLineProps extends LookProps {
  channel: string
  /** What a person is called. Default: the user id. */
  nameOf?: (user: string) => string
}

/** One line that keeps its height, so that nothing jumps. */
export function TypingLine({ channel, nameOf = (user) => user, ...own }: TypingLineProps) {
  const look = useLook(own)
  const { t, say } = look
  const { users } = useTyping(channel)
  const names = users.slice(0, 3).map(nameOf)
  if (users.length > 3) names.push(`+${look.number(users.length - 3)}`)
  const text =
    users.length > 0 ? say(t.typing, { names: new Intl.ListFormat(t.locale, { type: 'conjunction' }).format(names) }) : ''
  const spoken = useAnnounced(text)
  return (
    <div {...look.root('typing')}>
      <span aria-hidden="true">{text}</span>
      <output className="crln-hidden" aria-live="polite">
        {spoken}
      </output>
    </div>
  )
}
