// What do notices of a type say, in which languages? One language is edited at a time.

import { useState } from 'react'
import { Icon } from '../../icons.js'
import { Area } from '../../parts/area.js'
import { faultsUnder } from '../../parts/faults.js'
import { Field } from '../../parts/fields.js'
import type { Problem } from '../../problem.js'
import type { Draft } from './shapes.js'

interface TextsProps {
  readonly texts: Draft['texts']
  readonly problem: Problem | null
  readonly change: (texts: Draft['texts']) => void
}

const placeOf = (tag: string) => (tag ? `/locales/${tag.replaceAll('~', '~0').replaceAll('/', '~1')}` : '')

export function Texts({ texts, problem, change }: TextsProps) {
  const [chosen, choose] = useState('')
  const [added, setAdded] = useState('')
  const tag = chosen in texts ? chosen : ''
  const now = texts[tag] ?? { title: '', body: '' }
  const set = (values: Partial<typeof now>) => change({ ...texts, [tag]: { ...now, ...values } })
  const hasFault = (one: string) =>
    one === '' ? ['/title', '/body'].some((place) => faultsUnder(problem, place)) : faultsUnder(problem, placeOf(one)) !== null
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
  const ofLocale = tag && problem?.errors.find((fault) => fault.pointer === placeOf(tag))?.detail
  return (
    <fieldset>
      <legend>Texts of its notices</legend>
      <div className="languages row">
        {Object.keys(texts).map((one) => (
          <button key={one} type="button" aria-pressed={one === tag} onClick={() => choose(one)}>
            {one || 'No language'}
            {hasFault(one) && <Icon name="warn" label="has a fault" />}
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
      <Field
        label={tag ? `Title in ${tag}` : 'Title'}
        value={now.title}
        placeholder={tag ? texts['']?.title || 'as without a language' : 'Order {{ id }} was paid'}
        fault={faultsUnder(problem, `${placeOf(tag)}/title`)}
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
        fault={faultsUnder(problem, `${placeOf(tag)}/body`)}
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
