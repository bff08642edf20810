// What do notices of a type say, in which languages? One language is edited at a time.

import { useState } from 'react'
import { Icon } from '../../icons.js'
import { Area } from '../../parts/area.js'
import { faultOf } from '../../parts/faults.js'
import { Field } from '../../parts/fields.js'
import type { Problem } from '../../problem.js'
import type { Draft } from './shapes.js'

interface TextsProps {
  readonly texts: Draft['texts']
  readonly problem: Problem | null
  readonly change: (texts: Draft['texts']) => void
}

const placeOf = (tag: string) => (tag ? `/locales/${tag.replaceAll('~', '~0').replaceAll('/', '~1')}` : '')

/** Whose faults are shown here. */
export const placesOf = (texts: Draft['texts']) =>
  Object.keys(texts).flatMap((tag) => (tag ? [placeOf(tag)] : ['/title', '/body']))

export function Texts({ texts, problem, change }: TextsProps) {
  const [chosen, choose] = useState('')
  const [added, setAdded] = useState('')
  const tag = chosen in texts ? chosen : ''
  const now = texts[tag] ?? { title: '', body: '' }
  const set = (values: Partial<typeof now>) => change({ ...texts, [tag]: { ...now, ...values } })
  const faultsOf = (one: string) =>
    (one ? [placeOf(one)] : ['/title', '/body'])
      .map((place) => faultOf(problem, place))
      .filter(Boolean)
      .join('; ')
  const faulty = Object.keys(texts).filter((one) => faultsOf(one) !== '')
  const add = () => {
    const next = added.trim()
    if (!next) return
    if (!(next in texts)) change({ ...texts, [next]: { title: '', body: '' } })
    choose(next)
    setAdded('')
  }
  const remove = () => {
    const { [tag]: _, ...rest } = texts
    change(rest)
    choose('')
  }
  const ofLocale = tag && faultOf(problem, placeOf(tag), [`${placeOf(tag)}/title`, `${placeOf(tag)}/body`])
  return (
    <fieldset>
      <legend>Texts of its notices</legend>
      <div className="languages row">
        {Object.keys(texts).map((one) => (
          <button key={one} type="button" aria-pressed={one === tag} onClick={() => choose(one)}>
            {one || 'No language'}
            {faulty.includes(one) && <Icon name="warn" label="has a fault" />}
          </button>
        ))}
        <span className="row">
          <input
            aria-label="A further language"
            value={added}
            placeholder="de-CH"
            size={6}
            spellCheck={false}
            onChange={({ target }) => setAdded(target.value)}
            onKeyDown={(event) => {
              if (event.key !== 'Enter') return
              event.preventDefault()
              add()
            }}
          />
          <button type="button" disabled={!added.trim()} onClick={add}>
            Add
          </button>
        </span>
      </div>
      {ofLocale && <p className="fault">{ofLocale}</p>}
      {faulty
        .filter((one) => one !== tag)
        .map((one) => (
          <p key={one} className="fault">
            {one || 'No language'}: {faultsOf(one)}
          </p>
        ))}
      <Field
        label={tag ? `Title in ${tag}` : 'Title'}
        value={now.title}
        placeholder={tag ? texts['']?.title || 'as without a language' : 'Order {{ id }} was paid'}
        fault={faultOf(problem, `${placeOf(tag)}/title`)}
        help={
          tag
            ? 'Left out: as without a language'
            : 'A template: {{ total }}, {{ customer.name|upper }}. Left out: its notices bring a text of their own.'
        }
        onChange={(title) => set({ title })}
      />
      <Area
        label={tag ? `Body in ${tag}` : 'Body'}
        value={now.body}
        placeholder={tag ? texts['']?.body || 'as without a language' : '{{ total }} from {{ customer.name }}'}
        fault={faultOf(problem, `${placeOf(tag)}/body`)}
        onChange={(body) => set({ body })}
      />
      {tag && (
        <p>
          <button type="button" onClick={remove}>
            Take {tag} out
          </button>
        </p>
      )}
    </fieldset>
  )
}
