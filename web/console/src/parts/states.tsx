// What does a page show that has nothing to show: not yet, not any more, or not at all?

import { type ReactNode, useEffect, useState } from 'react'
import type { Asked } from '../ask.js'
import { Icon } from '../icons.js'
import type { Problem } from '../problem.js'

/** After so long it is said that something takes long, and not only shown. */
const LONG_MS = 5_000
/** What is quick shows nothing in between. */
const QUICK_MS = 200

/** It ends by itself: each request of `api.ts` has a deadline. */
export function Loading({ what = 'this' }: { what?: string }) {
  const [stage, setStage] = useState(0)
  useEffect(() => {
    const timers = [setTimeout(setStage, QUICK_MS, 1), setTimeout(setStage, LONG_MS, 2)]
    return () => timers.forEach(clearTimeout)
  }, [])
  return (
    <div className="state loading" aria-busy="true" data-stage={stage}>
      <div className="bar" aria-hidden="true" />
      <p role="status">
        {stage === 0 ? '' : stage === 1 ? `Loading ${what}…` : `Still loading ${what}: the answer takes longer than usual…`}
      </p>
    </div>
  )
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="state empty">
      <p className="title">{title}</p>
      {children && <div className="help">{children}</div>}
    </div>
  )
}

export interface Words {
  readonly title: string
  readonly text: string
}

/** A problem in words for people who use the console. */
export function words({ code, detail, status }: Problem): Words {
  switch (code) {
    case 'network':
      return {
        title: 'The API does not answer',
        text: 'No publisher could be reached. What is shown may be old; it is asked again.',
      }
    case 'timeout':
      return {
        title: 'The answer did not come in time',
        text: 'The publisher was reached, or is on its way, and gave no answer. Try again, or ask for less.',
      }
    case 'unavailable':
    case 'database_session':
      return {
        title: 'The log cannot be read now',
        text: `Postgres does not answer the publisher, or did not in time. ${detail}`,
      }
    case 'log_busy':
    case 'too_many_requests':
    case 'overloaded':
      return { title: 'Too much is asked at a time', text: 'The log works, others are in the way. It is tried again.' }
    case 'too_slow':
      return {
        title: 'This takes too long',
        text: 'The log worked on it for two seconds and was told to stop. Narrow the filter.',
      }
    case 'presence_unavailable':
      return { title: 'Redis is away', text: 'Who is here cannot be told while Redis is away. The log works on.' }
    case 'missing_scope':
    case 'actor_forbidden':
    case 'forbidden':
      return { title: 'These credentials may not do this', text: detail }
    case 'tenant_forbidden':
      return { title: 'This is not your tenant', text: 'These credentials are not for the tenant that is named.' }
    case 'tenant_suspended':
      return { title: 'This tenant is suspended', text: 'Whoever runs the installation has stopped it, and can let it go on.' }
    case 'unknown_tenant':
      return { title: 'There is no such tenant', text: detail }
    case 'not_found':
      return { title: 'There is nothing of this name', text: detail }
    default:
      return { title: status >= 500 ? 'The server could not do this' : 'This was refused', text: detail }
  }
}

/** Why there is nothing, and what can be done. */
export function Trouble({
  problem,
  retry,
  isBusy = false,
}: {
  problem: Problem
  retry?: (() => void) | undefined
  /** It is tried again now. */
  isBusy?: boolean
}) {
  const { title, text } = words(problem)
  return (
    <div className="state trouble" role="alert" data-code={problem.code}>
      <Icon name="warn" />
      <p className="title">{title}</p>
      <p>{text}</p>
      {problem.errors.length > 0 && (
        <ul>
          {problem.errors.map((fault) => (
            <li key={`${fault.pointer ?? fault.parameter ?? fault.header} ${fault.code}`}>
              <code>{fault.pointer ?? fault.parameter ?? fault.header ?? fault.code}</code> {fault.detail}
            </li>
          ))}
        </ul>
      )}
      {retry && (
        <button type="button" onClick={retry} aria-busy={isBusy}>
          <Icon name="retry" /> Try again
        </button>
      )}
      <p className="help">
        <code>{problem.code}</code>
        {problem.requestId && (
          <>
            {' '}
            · request <code>{problem.requestId}</code>
          </>
        )}
      </p>
    </div>
  )
}

/** Above something that is still shown, though the last try failed. */
export function Stale({ problem, retry }: { problem: Problem; retry: () => void }) {
  const { title } = words(problem)
  return (
    <p className="note warn" role="status">
      <Icon name="warn" /> <span className="grow">{title}. What is shown is what was known last.</span>
      <button type="button" className="quiet" onClick={retry}>
        Try again
      </button>
    </p>
  )
}

/** The four states of an answer in one place: loading, failed, old, here. */
export function Answer<Value>({
  of,
  what,
  children,
}: {
  of: Asked<Value>
  what?: string
  children: (value: Value) => ReactNode
}) {
  if (of.value === undefined)
    return of.problem ? (
      <Trouble problem={of.problem} retry={of.reload} isBusy={of.isLoading} />
    ) : (
      <Loading {...(what && { what })} />
    )
  return (
    <>
      {of.problem && <Stale problem={of.problem} retry={of.reload} />}
      {children(of.value)}
    </>
  )
}
