// The back end of the appointments panel: its rows, and what it publishes when they change.

const appointments = new Map()
let last = 0

/** Stores a row, then says so. With a database in the same Postgres both are one transaction: docs/guide/transactional.md. */
async function change(carillon, appointment, type, source, actor) {
  appointments.set(appointment.id, appointment)
  await carillon.publish({ type, source, tenant_wide: true, data: appointment, ...(actor && { actor }) })
}

const book = async (carillon, client, at) => {
  const appointment = { id: ++last, client, at, state: 'pending' }
  await change(carillon, appointment, 'appointment.created', 'telegram')
  return appointment
}

const decide =
  (state) =>
  async ({ carillon, input, by }) => {
    const before = appointments.get(input.id)
    if (before) await change(carillon, { ...before, state }, `appointment.${state}`, 'admin_panel', by)
  }

export const backend = {
  tenant: 'studio-nova',
  people: {
    mila: { roles: ['admin'], caps: ['admin'], meta: { name: 'Mila' } },
    jan: { roles: ['staff'], meta: { name: 'Jan' } },
  },
  async setUp({ carillon, administer }) {
    await administer('PUT', '/v1/channel-rules/desk?tenant=studio-nova', { subscribe: ['anyone'], presence: ['anyone'] })
    await book(carillon, 'Ana Ruiz', '09:30')
    await book(carillon, 'Omar Haddad', '11:00')
  },
  routes: {
    'GET /api/appointments': () => [...appointments.values()],
    'POST /api/confirm': decide('confirmed'),
    'POST /api/cancel': decide('cancelled'),
    /** What the Telegram bot calls when somebody writes to it. */
    'POST /api/bot': async ({ carillon, input }) => {
      await carillon.publish({
        type: 'bot.message.received',
        source: 'telegram',
        tenant_wide: true,
        data: `${input.client}: an appointment at ${input.at}, please`,
      })
      const { id } = await book(carillon, input.client, input.at)
      await carillon.notice({
        title: `${input.client} asks for ${input.at}`,
        type: 'bot.booking.completed',
        source: 'telegram',
        audience: { roles: ['admin'] },
      })
      return { id }
    },
  },
}
