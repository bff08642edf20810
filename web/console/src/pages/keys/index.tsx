// Which API keys are there, which are used, and how is one made, replaced or ended?

import { useState } from 'react'
import { ago, dateTime } from '../../format.js'
import { useMany } from '../../many.js'
import { useOwner } from '../../owner.js'
import { useAct } from '../../parts/act.js'
import { Confirm } from '../../parts/dialog.js'
import { Filter, Select } from '../../parts/fields.js'
import { ForAdministrators, More } from '../../parts/more.js'
import { Outcome } from '../../parts/outcome.js'
import { Badge, Page, Panel } from '../../parts/page.js'
import { Answer, Empty } from '../../parts/states.js'
import { Table } from '../../parts/table.js'
import { Link, useParams } from '../../route.js'
import { useMay, useSession } from '../../session.js'
import { ChooseTenant } from '../../tenant.js'
import { EditKey, NewKey, RotateKey } from './forms.js'
import './keys.css'
import { endKey, type Key, keys, type MadeKey, stateOf } from './shapes.js'
import { Shown } from './shown.js'

export default function KeysPage() {
  const now = useSession()
  const owner = useOwner()
  const mayAdmin = useMay('admin')
  if (now.status !== 'in') return null
  if (owner === null) return <ChooseTenant who={now.who} page="Keys" />
  if (!mayAdmin)
    return (
      <Page title="Keys">
        <ForAdministrators what="API keys" />
      </Page>
    )
  return <Keys owner={owner} own={now.who.kind === 'key' ? now.who.name : null} />
}

type Doing = { readonly what: 'new' } | { readonly what: 'edit' | 'rotate' | 'end'; readonly key: Key } | null

function Keys({ owner, own }: { owner: string; own: string | null }) {
  const [query, change] = useParams()
  const [doing, setDoing] = useState<Doing>(null)
  const [made, setMade] = useState<MadeKey | null>(null)
  const ending = useAct()
  const list = useMany(`keys ${owner}`, (after, signal) => keys(owner, after, signal), { every: 30_000 })
  const text = query.get('q') ?? ''
  const show = query.get('show') ?? 'working'
  const close = () => setDoing(null)
  const done = (key: MadeKey | null) => {
    close()
    if (key) setMade(key)
    list.reload()
  }
  const wanted = (key: Key) =>
    (show === 'all' || ['works', 'ends'].includes(stateOf(key))) &&
    `${key.id} ${key.name ?? ''} ${key.scopes.join(' ')}`.toLowerCase().includes(text.trim().toLowerCase())
  const whose = owner === '*' ? 'all tenants' : owner
  return (
    <Page
      title="Keys"
      lead={`API keys for ${whose}. Only a hash of each is stored: a key is shown once, when it is made.`}
      actions={
        <button type="button" className="primary" onClick={() => setDoing({ what: 'new' })}>
          New key
        </button>
      }
    >
      {made && <Shown made={made} close={() => setMade(null)} />}
      <Outcome of={ending} />
      <Panel title="API keys" flush>
        <div className="toolbar">
          <Filter label="Search" value={text} placeholder="Name, id or scope" onChange={(q) => change({ q })} />
          <Select
            label="Show"
            value={show}
            onChange={(value) => change({ show: value === 'working' ? null : value })}
            options={[
              ['working', 'Those that work'],
              ['all', 'Also those that have ended'],
            ]}
          />
        </div>
        <Answer of={list} what="the keys">
          {({ rows }) => {
            const shown = rows.filter(wanted)
            if (rows.length === 0)
              return (
                <Empty title={`There is no API key for ${whose}`}>
                  Back ends publish and listen with keys. Make the first one: it is shown once.
                </Empty>
              )
            if (shown.length === 0)
              return (
                <Empty title="No key is like this">
                  {rows.length} {rows.length === 1 ? 'key is' : 'keys are'} hidden by the search and by what is shown.{' '}
                  <button type="button" className="quiet link" onClick={() => change({ q: null, show: 'all' })}>
                    Show all
                  </button>
                </Empty>
              )
            return (
              <Table
                label="API keys"
                rows={shown}
                id={(key) => key.id}
                columns={[
                  { name: 'Key', cell: (key) => <Name of={key} isOwn={key.id === own} /> },
                  {
                    name: 'Scopes',
                    cell: (key) => (
                      <span className="row tight">
                        {key.scopes.map((scope) => (
                          <Badge key={scope} tone={scope === 'admin' ? 'accent' : 'plain'}>
                            {scope}
                          </Badge>
                        ))}
                      </span>
                    ),
                  },
                  { name: 'State', cell: (key) => <State of={key} /> },
                  {
                    name: 'Last used',
                    cell: (key) =>
                      key.last_used_at ? (
                        <span title={dateTime(key.last_used_at)}>{ago(key.last_used_at)}</span>
                      ) : (
                        <span className="help">never</span>
                      ),
                  },
                  {
                    name: 'Made',
                    cell: (key) => <span title={dateTime(key.created_at)}>{ago(key.created_at)}</span>,
                  },
                  { name: 'Actions', cell: (key) => <Actions of={key} choose={setDoing} /> },
                ]}
              />
            )
          }}
        </Answer>
        <More of={list} what="keys" />
      </Panel>
      {doing?.what === 'new' && <NewKey owner={owner} close={close} done={done} />}
      {doing?.what === 'edit' && <EditKey owner={owner} of={doing.key} close={close} done={() => done(null)} />}
      {doing?.what === 'rotate' && (
        <RotateKey owner={owner} of={doing.key} isOwn={doing.key.id === own} close={close} done={done} />
      )}
      {doing?.what === 'end' && (
        <Confirm
          title={`End ${doing.key.name ?? doing.key.id}?`}
          text={
            <>
              Requests with it are refused and its connections end within ten seconds. It cannot be taken back.
              {doing.key.id === own && <b> You are signed in with this key: you will be signed out.</b>}
            </>
          }
          action="End the key"
          close={close}
          run={() =>
            void ending.run(async () => {
              await endKey(owner, doing.key.id)
              list.reload()
              return `The key ${doing.key.name ?? doing.key.id} was ended.`
            })
          }
        />
      )}
    </Page>
  )
}

function Name({ of: key, isOwn }: { of: Key; isOwn: boolean }) {
  return (
    <>
      <b className="name">{key.name ?? <span className="help">unnamed</span>}</b> {isOwn && <Badge tone="accent">You</Badge>}
      <div className="help mono">{key.id}</div>
      {key.replaces && (
        <div className="help">
          replaces <span className="mono">{key.replaces}</span>
        </div>
      )}
    </>
  )
}

function State({ of: key }: { of: Key }) {
  const state = stateOf(key)
  const end = key.revoked_at ?? key.expires_at
  const when = end && <span title={dateTime(end)}>{ago(end)}</span>
  if (state === 'ended')
    return (
      <>
        <Badge>Ended</Badge> <span className="help">{when}</span>
      </>
    )
  if (state === 'expired')
    return (
      <>
        <Badge>Ended</Badge> <span className="help">by its date, {when}</span>
      </>
    )
  if (state === 'ends')
    return (
      <>
        <Badge tone="warn">Ends</Badge>{' '}
        <span className="help">
          {when}
          {key.replaced_by && (
            <>
              , replaced by <span className="mono">{key.replaced_by}</span>
            </>
          )}
        </span>
      </>
    )
  return (
    <>
      <Badge tone="good">Works</Badge> {when && <span className="help">ends {when}</span>}
    </>
  )
}

function Actions({ of: key, choose }: { of: Key; choose: (doing: Doing) => void }) {
  const state = stateOf(key)
  const name = key.name ?? key.id
  const history = (
    <Link to="/audit" with={{ action: 'api_key', target: key.id }} aria-label={`History of ${name}`}>
      History
    </Link>
  )
  if (state !== 'works' && state !== 'ends') return <span className="row actions">{history}</span>
  return (
    <span className="row actions">
      <button type="button" className="quiet" aria-label={`Rotate ${name}`} onClick={() => choose({ what: 'rotate', key })}>
        Rotate
      </button>
      <button type="button" className="quiet" aria-label={`Edit ${name}`} onClick={() => choose({ what: 'edit', key })}>
        Edit
      </button>
      <button type="button" className="quiet danger" aria-label={`End ${name}`} onClick={() => choose({ what: 'end', key })}>
        End
      </button>
      {history}
    </span>
  )
}
