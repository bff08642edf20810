// Is the page light or dark?

import { createStore } from './store.js'

export type Scheme = 'system' | 'light' | 'dark'

const KEY = 'carillon-console-scheme'

function kept(): Scheme {
  try {
    const text = localStorage.getItem(KEY)
    return text === 'light' || text === 'dark' ? text : 'system'
  } catch {
    return 'system'
  }
}

/** What was chosen here. It is kept in this browser; nothing else is. */
export const scheme = createStore<Scheme>(kept())

export function applyScheme() {
  const now = scheme.get()
  if (now === 'system') delete document.body.dataset.scheme
  else document.body.dataset.scheme = now
}

export function chooseScheme(next: Scheme) {
  scheme.set(next)
  applyScheme()
  try {
    if (next === 'system') localStorage.removeItem(KEY)
    else localStorage.setItem(KEY, next)
  } catch {
    // Where nothing may be kept it holds until the page is closed.
  }
}
