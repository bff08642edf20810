// How does a page tell what became of something that was done?

import { Icon } from '../icons.js'
import type { Fault } from '../problem.js'
import type { Act } from './act.js'
import './outcome.css'
import { words } from './states.js'

const placeOf = (fault: Fault) => fault.pointer || fault.parameter || fault.header || ''

/** `isPlaced`: whether a fault is shown at its field, so that it is not said twice. */
export function Outcome({ of, isPlaced = () => false }: { of: Act; isPlaced?: (place: string) => boolean }) {
  const { problem, done } = of
  return (
    <div role="status" className="outcome">
      {done && (
        <p className="note good">
          <Icon name="yes" /> <span className="grow">{done}</span>
        </p>
      )}
      {problem && (
        <div className="note bad" data-code={problem.code}>
          <Icon name="warn" />
          <div className="grow">
            <b>{words(problem).title}.</b>{' '}
            {problem.errors.some((fault) => isPlaced(placeOf(fault)))
              ? 'What is wrong stands at its field.'
              : words(problem).text}
            <ul>
              {problem.errors
                .filter((fault) => !isPlaced(placeOf(fault)) && fault.detail !== problem.detail)
                .map((fault) => (
                  <li key={`${placeOf(fault)} ${fault.code} ${fault.detail}`}>
                    <code>{placeOf(fault) || fault.code}</code> {fault.detail}
                  </li>
                ))}
            </ul>
          </div>
        </div>
      )}
    </div>
  )
}
