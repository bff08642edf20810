// How does an event type look in answers, in requests and in the form?

import { type Means, means } from '../preferences/shapes.js'

export interface Texts {
  readonly title?: string
  readonly body?: string
}

export interface EventType extends Texts {
  readonly type: string
  readonly locales: Readonly<Record<string, Texts>>
  readonly priority?: string
  readonly mandatory: boolean
  readonly defaults: Readonly<Partial<Record<Means, boolean>>>
  readonly schema?: unknown
  readonly unreadable?: true
}

/** Nothing said, on, off. */
export type Said = '' | 'on' | 'off'

/** A type while it is edited. */
export interface Draft {
  readonly type: string
  /** By language; `''`: the text without one. */
  readonly texts: Readonly<Record<string, { readonly title: string; readonly body: string }>>
  readonly priority: string
  readonly mandatory: boolean
  readonly defaults: Readonly<Record<Means, Said>>
  /** JSON as text; empty: none. */
  readonly schema: string
}

const nothing: Record<Means, Said> = { inbox: '', toast: '', desktop: '', webhooks: '' }
const filled = ({ title = '', body = '' }: Texts) => ({ title, body })

export const fresh: Draft = {
  type: '',
  texts: { '': { title: '', body: '' } },
  priority: '',
  mandatory: false,
  defaults: nothing,
  schema: '',
}

export function draftOf(type: EventType): Draft {
  const defaults = { ...nothing }
  for (const one of means) {
    const says = type.defaults[one]
    if (says !== undefined) defaults[one] = says ? 'on' : 'off'
  }
  const locales = Object.entries(type.locales).map(([tag, texts]) => [tag, filled(texts)] as const)
  return {
    type: type.type,
    texts: { '': filled(type), ...Object.fromEntries(locales) },
    priority: type.priority ?? '',
    mandatory: type.mandatory,
    defaults,
    schema: type.schema === undefined ? '' : JSON.stringify(type.schema, null, 2),
  }
}

const given = ({ title, body }: { title: string; body: string }): Texts => ({ ...(title && { title }), ...(body && { body }) })

/** What is sent. `schema` has been read before. */
export function bodyOf(draft: Draft, schema: unknown): Record<string, unknown> {
  const { '': plain, ...others } = draft.texts
  const defaults = means.flatMap((one) => (draft.defaults[one] ? [[one, draft.defaults[one] === 'on'] as const] : []))
  return {
    ...given(plain ?? { title: '', body: '' }),
    locales: Object.fromEntries(Object.entries(others).map(([tag, texts]) => [tag, given(texts)])),
    ...(draft.priority && { priority: draft.priority }),
    mandatory: draft.mandatory,
    defaults: Object.fromEntries(defaults),
    ...(schema !== undefined && { schema }),
  }
}

/** JSON, nothing, or what is wrong with the text. */
export function readJson(text: string): { readonly value?: unknown; readonly fault?: string } {
  if (!text.trim()) return {}
  try {
    return { value: JSON.parse(text) }
  } catch (error) {
    return { fault: `This is no JSON: ${(error as Error).message}` }
  }
}

/** Data that the templates of a type can be filled with, guessed from their variables and the schema. */
export function sampleOf(type: EventType): Record<string, unknown> {
  const properties = (type.schema as { properties?: Record<string, { type?: string }> } | undefined)?.properties ?? {}
  const sample: Record<string, unknown> = {}
  for (const [name, says] of Object.entries(properties)) sample[name] = sampleValue(name, says.type)
  const texts = [type, ...Object.values(type.locales)].flatMap(({ title = '', body = '' }) => [title, body]).join(' ')
  for (const [, path] of texts.matchAll(/\{\{\s*([A-Za-z_][\w.]*)/g)) {
    const names = path!.split('.')
    let at = sample
    for (const name of names.slice(0, -1)) {
      if (typeof at[name] !== 'object' || at[name] === null) at[name] = {}
      at = at[name] as Record<string, unknown>
    }
    const last = names.at(-1)!
    at[last] ??= sampleValue(last, undefined)
  }
  return sample
}

function sampleValue(name: string, type: string | undefined): unknown {
  if (type === 'number' || type === 'integer') return 12
  if (type === 'boolean') return true
  if (type === 'array') return []
  if (type === 'object') return {}
  return name
}
