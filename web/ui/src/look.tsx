// Which texts, colours and class names does a part have?

import { type CSSProperties, createContext, type ReactNode, useContext } from 'react'
import { en, type Texts } from './texts.js'

/** Colour scheme, colours and class names. */
export interface Appearance {
  /** Default `auto`: as the reader's system is. */
  scheme?: 'light' | 'dark' | 'auto'
  /** CSS custom properties of style.css: `{ '--crln-accent': '#0a6' }`. */
  variables?: Record<`--crln-${string}`, string>
  /** Class names beside those of style.css, by part: `{ bell: 'my-bell' }`. */
  classNames?: Record<string, string>
}

/** How a part looks and what it says; all parts take these. */
export interface LookProps {
  appearance?: Appearance
  /** Some or all texts: a locale of `@carillon/ui/locales/…`, words of your own, or both. */
  localization?: Partial<Texts>
}

const Look = createContext<LookProps>({})

/** Texts and appearance for all parts below it. */
export function CarillonLook({ children, ...look }: LookProps & { children?: ReactNode }) {
  return <Look.Provider value={look}>{children}</Look.Provider>
}

export interface Used {
  t: Texts
  /** A text with its gaps filled; numbers as the locale writes them. */
  say(text: string, gaps: Record<string, string | number>): string
  number(value: number): string
  /** Attributes of the outermost element of a part. */
  root(part: string): {
    className: string
    dir: 'ltr' | 'rtl'
    lang: string
    style: CSSProperties | undefined
    'data-scheme'?: string
  }
}

/** What a part shows: its own props win over those of `CarillonLook`. */
export function useLook(own: LookProps): Used {
  const above = useContext(Look)
  const t: Texts = { ...en, ...above.localization, ...own.localization }
  const appearance = { ...above.appearance, ...own.appearance }
  const names = { ...above.appearance?.classNames, ...own.appearance?.classNames }
  const variables = { ...above.appearance?.variables, ...own.appearance?.variables }
  const number = (value: number) => value.toLocaleString(t.locale, { maximumFractionDigits: 1 })
  return {
    t,
    number,
    say: (text, gaps) =>
      text.replace(/\{(\w+)\}/g, (_, gap: string) =>
        typeof gaps[gap] === 'number' ? number(gaps[gap]) : String(gaps[gap] ?? ''),
      ),
    root: (part) => ({
      className: ['crln', `crln-${part}`, names[part]].filter(Boolean).join(' '),
      dir: t.dir,
      lang: t.locale,
      style: Object.keys(variables).length > 0 ? (variables as CSSProperties) : undefined,
      ...(appearance.scheme && appearance.scheme !== 'auto' && { 'data-scheme': appearance.scheme }),
    }),
  }
}
