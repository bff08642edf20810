// How does somebody sign in?

import { type FormEvent, useId, useRef, useState } from 'react'
import { Mark } from './app.js'
import { Icon } from './icons.js'
import { words } from './parts/states.js'
import { type Problem, problemOf } from './problem.js'
import { signIn } from './session.js'

export function SignIn({ problem: before, expired }: { problem: Problem | null; expired: boolean }) {
  const [text, setText] = useState('')
  const [keep, setKeep] = useState(true)
  const [isBusy, setBusy] = useState(false)
  const [problem, setProblem] = useState<Problem | null>(null)
  const field = useRef<HTMLInputElement>(null)
  const id = useId()
  const isKey = text.trim().startsWith('crln_')
  const send = async (event: FormEvent) => {
    event.preventDefault()
    if (!text.trim() || isBusy) return field.current?.focus()
    setBusy(true)
    setProblem(null)
    try {
      await signIn(text, keep && isKey)
    } catch (error) {
      setProblem(problemOf(error))
      field.current?.focus()
    }
    setBusy(false)
  }
  const shown = problem ?? (expired ? null : before)
  return (
    <main className="alone">
      <form className="card sign-in" onSubmit={send} aria-labelledby={`${id}-title`}>
        <Mark />
        <h1 id={`${id}-title`}>Sign in to the console</h1>
        {expired && !problem && (
          <p className="note warn" role="status">
            <Icon name="warn" /> Your session has ended. Sign in again to go on where you were.
          </p>
        )}
        {shown && (
          <p className="note bad" role="alert">
            <Icon name="warn" /> {wordsOfSignIn(shown)}
          </p>
        )}
        <label htmlFor={id}>API key or user token</label>
        <input
          id={id}
          ref={field}
          type="password"
          value={text}
          // biome-ignore lint/a11y/noAutofocus: it is the only thing on the page
          autoFocus
          autoComplete="off"
          spellCheck={false}
          placeholder="crln_…"
          aria-describedby={`${id}-help`}
          onChange={({ target }) => setText(target.value)}
        />
        <p id={`${id}-help`} className="help">
          A key with the scope <code>read</code> looks, one with <code>admin</code> changes. Of a user token the capability{' '}
          <code>admin</code> is needed.
        </p>
        <label className="check">
          <input type="checkbox" checked={keep} onChange={({ target }) => setKeep(target.checked)} />
          <span>
            Keep me signed in for 12 hours
            <small>An API key only, in a cookie that no script can read. Otherwise until this page is closed.</small>
          </span>
        </label>
        <button type="submit" className="primary wide" disabled={isBusy}>
          {isBusy ? 'Signing in…' : 'Sign in'}
        </button>
      </form>
    </main>
  )
}

function wordsOfSignIn(problem: Problem): string {
  switch (problem.code) {
    case 'code_invalid':
      return 'This link works once and for a quarter of an hour, and that is over. `carillon console` prints another one.'
    case 'credentials_invalid':
      return 'There is no such API key, or it has ended.'
    case 'token_expired':
      return 'This token has ended. Get another one.'
    case 'token_invalid':
      return 'This is neither an API key nor a token that this installation believes.'
    case 'token_revoked':
      return 'Whom this token names was disconnected after it was issued.'
    case 'missing_scope':
      return 'These credentials may not look at anything here: an API key needs the scope read or admin, a user token the capability admin. Why an event did not reach yourself, GET /v1/why tells your own token.'
    case 'session_goes_on':
      return 'The API did not answer, so your session goes on: whoever loads this page is signed in. Load it again when the API is back, and sign out there.'
    default:
      return words(problem).text
  }
}
