// @vitest-environment node
// Does a server keep nothing of one request for the next, with one client for all?

import { renderToString } from 'react-dom/server'
import { expect, test } from 'vitest'
import { createFake } from '../../testing/fake-client.js'
import { CarillonProvider, useLive } from '../src/index.js'

test('each request of a server is rendered with its own rows', () => {
  const { client } = createFake()
  const Orders = ({ rows }: { rows: string[] }) => {
    const initial = { value: rows, position: 'a:1' }
    const query = { key: ['orders'], initial, load: () => Promise.reject(new Error('nothing is loaded here')) }
    return <p>{useLive<string[]>(query, (value) => value).value}</p>
  }
  const page = (rows: string[]) =>
    renderToString(
      <CarillonProvider client={client}>
        <Orders rows={rows} />
      </CarillonProvider>,
    )
  expect([page(['of anna']), page(['of bob'])]).toEqual(['<p>of anna</p>', '<p>of bob</p>'])
})
