// How does a page tell what became of something that was done?

import { Icon } from '../icons.js'
import type { Act } from './act.js'
import { isAt, placeOf } from './faults.js'
import './outcome.css'
import { words } from './states.js'

/** `placed`: whose faults the form shows with `faultOf` at a field. Those of every other place are listed here, so that each is seen once. */
export function Outcome({ of, placed = [] }: { of: Act; placed?: readonly string[] }) {
  const { problem, done } = of
  const others = problem?.errors.filter((fault) => !isAt(fault, placed)) ?? []
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
            {others.length < problem.errors.length ? 'What is wrong stands at its field.' : words(problem).text}
            <ul>
              {others
                .filter((fault) => others.length < problem.errors.length || fault.detail !== problem.detail)
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
