'use client'
// The page in the browser: what the server rendered, and what has come since.

import { createClient } from '@carillon/client'
import { CarillonProvider, useConnection, useEvent, useLive } from '@carillon/react'
import { useRef } from 'react'

const reduce = (rows, { data }) => [...rows.filter(({ id }) => id !== data.id), data]

function Rows({ initial }) {
  const { status, value } = useLive(
    {
      key: ['rows'],
      channels: ['branch:1'],
      types: ['appointment.*'],
      load: () => Promise.reject(new Error('what a server rendered is not loaded again')),
      initial,
    },
    reduce,
  )
  return (
    <ul aria-label="Appointments" data-status={status}>
      {value.map(({ id, at }) => (
        <li key={id}>{at}</li>
      ))}
    </ul>
  )
}

/** Counts what its handler was called with: in StrictMode, too, once each. */
function Heard() {
  const heard = useRef([])
  useEvent('appointment.*', ({ data }) => {
    heard.current.push(data.id)
    window.heard = heard.current
  })
  const isOpen = useConnection(({ status }) => status === 'open')
  return <p>{isOpen ? 'connected' : 'connecting'}</p>
}

export function Branch({ url, tenant, token, initial }) {
  return (
    <CarillonProvider client={() => createClient({ url, tenant, getToken: () => token })}>
      <Rows initial={initial} />
      <Heard />
    </CarillonProvider>
  )
}
