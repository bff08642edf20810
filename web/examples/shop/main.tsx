// The page of a merchant whose customers order over WhatsApp: orders, the last 100 messages, and how the bot is.

import type { CarillonEvent } from '@carillon/client'
import { useChannel, useEvents, useLive } from '@carillon/react'
import { Bell, StatCards, Toaster } from '@carillon/ui'
import { act, clock, Header, showOne } from '../src/example.js'

// ------------------------------------------------------------------------------------------------------- orders

interface Order {
  order: number
  customer: string
  item?: string
  pieces?: number
  total?: number
  status: string
}
type OrderEvent = CarillonEvent<Record<string, Partial<Order> & { order: number; to?: string }>>

function withOrder(orders: readonly Order[], { type, data }: OrderEvent): readonly Order[] {
  if (typeof data?.order !== 'number') return orders
  const before = orders.find(({ order }) => order === data.order)
  if (type === 'new_order') {
    const { order, customer = '?', item, pieces, total } = data
    return [
      ...orders.filter((one) => one !== before),
      {
        order,
        customer,
        status: 'new',
        ...(item !== undefined && { item }),
        ...(pieces !== undefined && { pieces }),
        ...(total !== undefined && { total }),
      },
    ]
  }
  const { to } = data
  if (type !== 'order_status_changed' || !before || !to) return orders
  return orders.map((one) => (one === before ? { ...one, status: to } : one))
}

/** What comes after each state. */
const next: Record<string, string> = { new: 'paid', paid: 'packed', packed: 'shipped' }
const look: Record<string, string> = { new: 'bad', paid: 'warn', packed: 'warn', shipped: 'good', cancelled: '', returned: 'bad' }

function useOrders() {
  return useLive<readonly Order[], OrderEvent['data']>(
    {
      key: ['orders'],
      channels: ['admin_dashboard'],
      types: ['new_order', 'order_status_changed'],
      load: async ({ client }) => {
        const channel = client.channel('admin_dashboard')
        const { events, position } = await channel.history({ limit: 1000 })
        return { value: (events as readonly OrderEvent[]).reduce(withOrder, []), position }
      },
    },
    (orders, event) => withOrder(orders, event as OrderEvent),
  )
}

function Orders({ orders }: { orders: readonly Order[] }) {
  return (
    <section className="panel">
      <h2>Orders</h2>
      <ul className="rows" data-testid="orders">
        {orders
          .toSorted((a, b) => b.order - a.order)
          .slice(0, 100)
          .map(({ order, customer, item, pieces, total, status }) => (
            <li key={order}>
              <span className="note">#{order}</span>
              <span className="grow">
                {customer}
                <br />
                <span className="note">
                  {pieces} × {item}
                </span>
              </span>
              <span>{total?.toLocaleString('en', { style: 'currency', currency: 'EUR' })}</span>
              <span className={`tag ${look[status] ?? ''}`}>{status}</span>
              {next[status] && (
                <button
                  type="button"
                  aria-label={`Order ${order}: ${next[status]}`}
                  onClick={() => act('move', { order, customer, from: status, to: next[status] })}
                >
                  {next[status]}
                </button>
              )}
            </li>
          ))}
      </ul>
    </section>
  )
}

// ----------------------------------------------------------------------------------------------------- messages

function Messages() {
  // The newest 100 of the past, then what comes: never more than 100, and no gap between the two.
  const events = useEvents<{ customer: string; text: string }>('bot_message', {
    channel: 'admin_dashboard',
    history: 100,
    limit: 100,
  })
  return (
    <section className="panel">
      <h2>Last {events.length} messages</h2>
      <ul className="rows" data-testid="messages">
        {events.toReversed().map(({ seq, data, time }) => (
          <li key={seq}>
            <span className="grow">
              <strong>{data?.customer}</strong>
              <br />
              {data?.text}
            </span>
            <span className="note">{clock(time)}</span>
          </li>
        ))}
      </ul>
    </section>
  )
}

// ---------------------------------------------------------------------------------------------------------- bot

interface Bot {
  status: string
  battery?: number
  since: string
}
type BotEvent = CarillonEvent<Record<string, { status: string; battery?: number }>>

const withBot = (bot: Bot | null, { data, time }: BotEvent): Bot | null => (data?.status ? { ...data, since: time } : bot)

function BotStatus() {
  const { value } = useLive<Bot | null, BotEvent['data']>(
    {
      key: ['bot'],
      channels: ['admin_dashboard'],
      types: ['bot_status'],
      load: async ({ client }) => {
        const { events, position } = await client.channel('admin_dashboard').history({ limit: 1, type: 'bot_status' })
        return { value: (events as readonly BotEvent[]).reduce(withBot, null), position }
      },
    },
    (bot, event) => withBot(bot, event as BotEvent),
  )
  return (
    <section className="panel" data-testid="bot">
      <h2>WhatsApp bot</h2>
      {value ? (
        <p>
          <span className={`tag ${value.status === 'connected' ? 'good' : 'bad'}`}>{value.status}</span>{' '}
          {value.battery !== undefined && `battery ${value.battery} % · `}since {clock(value.since)}
        </p>
      ) : (
        <p>It has said nothing yet.</p>
      )}
    </section>
  )
}

function Stock() {
  const events = useEvents<{ item: string; stock: number }>('inventory_updated', { channel: 'admin_dashboard', history: 100 })
  const stock = new Map(events.filter(({ data }) => data?.item).map(({ data }) => [data.item, data.stock]))
  return (
    <section className="panel">
      <h2>Stock</h2>
      <ul className="rows">
        {[...stock].map(([item, pieces]) => (
          <li key={item}>
            <span className="grow">{item}</span>
            <span className={pieces < 50 ? 'bad' : ''}>{pieces}</span>
          </li>
        ))}
      </ul>
    </section>
  )
}

function Shop() {
  const { status: joined, error } = useChannel('admin_dashboard')
  const { value: orders = [], status } = useOrders()
  const open = orders.filter((order) => next[order.status])
  if (joined === 'refused') return <p role="alert">{error?.message}</p>
  return (
    <main className="columns" aria-busy={status === 'loading'}>
      <div className="wide">
        <StatCards
          cards={[
            { label: 'Orders', value: orders.length },
            { label: 'Open', value: open.length },
            { label: 'Sold, €', value: orders.reduce((sum, order) => sum + (order.total ?? 0), 0) },
          ]}
        />
      </div>
      <Orders orders={orders} />
      <Messages />
      <div className="stack">
        <BotStatus />
        <Stock />
      </div>
    </main>
  )
}

showOne(
  <>
    <Header title="Orders" subtitle="Bazaar Luna">
      <Bell />
    </Header>
    <Shop />
    <Toaster />
  </>,
)
