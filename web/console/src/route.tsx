// Which page is shown, and with which parameters? Everything that a page can be asked for is in its URL.

import { type AnchorHTMLAttributes, type MouseEvent, useCallback, useMemo } from 'react'
import { createStore, useStore } from './store.js'

const BASE = '/console'

const here = () => `${location.pathname}${location.search}`
const place = createStore(here())
addEventListener('popstate', () => place.set(here()))

export interface Route {
  /** `/`, `/tail`, … without the `/console` before it. */
  readonly path: string
  readonly query: URLSearchParams
}

export const routeNow = (): Route => routeOf(place.get())

function routeOf(text: string): Route {
  const url = new URL(text, location.origin)
  const path = url.pathname.startsWith(BASE) ? url.pathname.slice(BASE.length) : url.pathname
  return { path: path.replace(/\/+$/, '') || '/', query: url.searchParams }
}

export function useRoute(): Route {
  const text = useStore(place)
  return useMemo(() => routeOf(text), [text])
}

type Values = Readonly<Record<string, string | number | null | undefined>>

/** The address of a page of the console. The tenant goes along unless `values` says otherwise. */
export function href(path: string, values: Values = {}): string {
  const query = new URLSearchParams()
  const all: Values = { tenant: routeNow().query.get('tenant'), ...values }
  for (const [name, value] of Object.entries(all))
    if (value !== null && value !== undefined && value !== '') query.set(name, `${value}`)
  const text = query.toString()
  return `${BASE}${path === '/' ? '' : path}${text && `?${text}`}`
}

export function go(to: string, { replace = false } = {}) {
  if (to === place.get()) return
  if (replace) history.replaceState(null, '', to)
  else history.pushState(null, '', to)
  place.set(here())
  if (!replace) scrollTo(0, 0)
}

/** Parameters of this page's URL, and how to change some of them without leaving it. */
export function useParams(): [URLSearchParams, (values: Values) => void] {
  const { path, query } = useRoute()
  const change = useCallback(
    (values: Values) => go(href(path, { ...Object.fromEntries(routeNow().query), ...values }), { replace: true }),
    [path],
  )
  return [query, change]
}

type LinkProps = Omit<AnchorHTMLAttributes<HTMLAnchorElement>, 'href'> & { readonly to: string; readonly with?: Values }

/** A link to a page of the console. */
export function Link({ to, with: values, onClick, ...rest }: LinkProps) {
  const address = href(to, values)
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event)
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
    event.preventDefault()
    go(address)
  }
  return <a {...rest} href={address} onClick={follow} />
}
