// Does the live tail show what is published, all of it, and stay quick?

import { Carillon, type PublishEvent } from '@carillon/server'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import type { Given } from '../console.test.js'
import { lookAt, signIn, visit } from '../visit.js'

/** All that was sent is there: none is dropped, and none is twice. */
const hasReceived = (page: Page, sent: number) => page.getByText(`${sent.toLocaleString('en')} received`).waitFor()

export function tail(given: Given) {
  const publish = (events: object[]) => {
    const carillon = new Carillon({ url: given.stack.publisher, apiKey: given.stack.api_key })
    return carillon.publish(events.map((event) => ({ tenant: 'tail', ...event })) as PublishEvent[])
  }

  test('shows events as they come, by filters that stand in the URL, and the whole story of one', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/tail?tenant=tail')
    const { page } = there
    await page.getByText('Connected', { exact: true }).waitFor()
    await page.getByText('Nothing has come yet').waitFor()
    const hostile = '<img src=x onerror=alert(1)>'
    await publish([
      { id: 'tail-1', type: 'order.paid', channel: 'order:1', data: { total: 12, hostile }, actor: 'mila' },
      { id: 'tail-2', type: 'lead.created', users: ['ada'], data: { name: 'Ada' } },
      { id: 'tail-3', type: 'order.sent', channels: ['order:1', 'order:2'], data: { big: 'x'.repeat(60_000) } },
    ])
    const rows = page.getByRole('listbox', { name: 'Events' })
    await rows.getByText('order.sent').waitFor()
    expect(await rows.getByRole('option').count()).toBe(3)
    await page.getByLabel('Type', { exact: true }).fill('order.*')
    await page.waitForURL(/type=order/)
    await rows.getByText('lead.created').waitFor({ state: 'detached' })
    expect(await rows.getByRole('option').count()).toBe(2)
    // A link to it shows the same.
    await page.getByLabel('Text').fill('hostile')
    await page.waitForURL(/text=hostile/)
    await rows.getByText('order.sent').waitFor({ state: 'detached' })
    await rows.getByText('order.paid').click()
    const story = page.getByRole('complementary', { name: 'The event' })
    await story.getByText(hostile).waitFor()
    await story.getByText('It is for no device that is known').waitFor()
    await lookAt(there, 'tail')
    await page.getByLabel('Text').fill('nowhere')
    await page.getByText('Nothing that came matches the filter').waitFor()
    await lookAt(there, 'tail-nothing')
    await page.getByRole('button', { name: 'Show all of them' }).click()
    // An event of 60 KB: its beginning is held, the rest read when it is looked at.
    await rows.getByText('order.sent').click()
    await story.getByText('read from the log').waitFor()
    await rows.focus()
    await page.keyboard.press('Home')
    await page.keyboard.press('ArrowDown')
    await story.getByRole('heading', { name: 'lead.created' }).waitFor()
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('a pause loses nothing', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/tail?tenant=tail')
    const { page } = there
    await page.getByText('Connected', { exact: true }).waitFor()
    await publish([{ type: 'pause.before', channel: 'pause' }])
    const rows = page.getByRole('listbox', { name: 'Events' })
    await rows.getByText('pause.before').waitFor()
    await page.getByRole('button', { name: 'Pause' }).click()
    for (let batch = 0; batch < 4; batch += 1)
      await publish(
        Array.from({ length: 250 }, (_, n) => ({ type: 'pause.during', channel: 'pause', data: { n: batch * 250 + n } })),
      )
    await page.getByRole('button', { name: '1,000 new' }).waitFor()
    expect(await rows.getByText('pause.during').count()).toBe(0)
    await page.getByRole('button', { name: 'Continue' }).click()
    await rows.getByText('"n":999').waitFor()
    await page.getByText('1,001 shown of 1,001').waitFor()
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('100,000 rows and 5,000 events a second: none is dropped, and the page stays quick', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/', null)
    const { page } = there
    // The socket is one that this page has itself: what is measured is the page, and no server beside it.
    await page.addInitScript(() => {
      let made = 0
      class Fast extends EventTarget {
        static instances: Fast[] = []
        readyState = 0
        onopen: (() => void) | null = null
        onmessage: ((message: { data: string }) => void) | null = null
        onclose: (() => void) | null = null
        constructor() {
          super()
          Fast.instances.push(this)
          setTimeout(() => {
            this.readyState = 1
            this.onopen?.()
          })
        }
        say(frame: object) {
          this.onmessage?.({ data: JSON.stringify(frame) })
        }
        send(text: string) {
          const frame = JSON.parse(text)
          if (frame.type === 'auth')
            this.say({
              type: 'welcome',
              connection: 'c',
              node: 'n',
              tenant: 'tail',
              user: 'key:k',
              roles: [],
              channels: [],
              seq: 0,
              epoch: 'e',
              resumed: 'live',
              heartbeat_ms: 25_000,
              expires_in: 3_600,
              limits: { frames_per_second: 50 },
            })
          else if (frame.type === 'ping') this.say({ type: 'pong', data: frame.data, id: frame.id })
        }
        close() {}
        burst(n: number) {
          for (let i = 0; i < n; i += 1) {
            made += 1
            const event = {
              id: `e${made}`,
              type: `load.${made % 7}`,
              source: 'test',
              specversion: '1.0',
              time: new Date().toISOString(),
              data: { n: made, text: 'some words of an ordinary size for an event' },
            }
            this.say({ type: 'event', seq: made, epoch: 'e', tenant: 'tail', channels: ['load', `user:u${made % 50}`], event })
          }
        }
      }
      const page = globalThis as unknown as Record<string, unknown>
      page.WebSocket = Fast
      page.burst = (n: number) => Fast.instances.at(-1)?.burst(n)
      page.made = () => made
    })
    await page.goto(`${stack.lb}/console/tail?tenant=tail`)
    await signIn(page, stack.api_key)
    await page.getByText('Connected', { exact: true }).waitFor()
    let sent = 0
    const publishes = async (n: number) => {
      await page.evaluate((n) => (globalThis as unknown as { burst(n: number): void }).burst(n), n)
      sent += n
    }
    // What the page's main thread has worked, in milliseconds of its own processor time: whatever else the machine does is not in it.
    const devtools = await there.context.newCDPSession(page)
    await devtools.send('Performance.enable', { timeDomain: 'threadTicks' })
    const worked = async () => {
      const { metrics } = await devtools.send('Performance.getMetrics')
      return metrics.find(({ name }) => name === 'TaskDuration')!.value * 1_000
    }
    /** The work for the events of a fiftieth of a second and the frame that shows them, so many times: the middle one and the longest. */
    const works = async (times: number) => {
      const work: number[] = []
      for (let n = 0; n < times; n += 1) {
        const before = await worked()
        await publishes(100)
        await page.evaluate(async () => {
          for (const _ of ['drawn', 'shown']) await new Promise(requestAnimationFrame)
        })
        work.push((await worked()) - before)
      }
      work.sort((a, b) => a - b)
      return { middle: work[times >> 1]!, longest: work.at(-1)! }
    }
    const few = await works(60)
    while (sent < 100_000) await publishes(Math.min(5_000, 100_000 - sent))
    await hasReceived(page, sent)
    // Often enough that old rows are shed on the way.
    const many = await works(120)
    await hasReceived(page, sent)
    console.log(
      `live tail, 100 events and their frame: ${few.middle.toFixed(1)} ms of work, with 100,000 rows ${many.middle.toFixed(1)} ms, ${many.longest.toFixed(1)} ms at most`,
    )

    // How many frames that is depends on the machine: a measurement, and a bound where it has nothing else to do (CARILLON_QUIET=1).
    const measured = await page.evaluate(async () => {
      const { burst } = globalThis as unknown as { burst(n: number): void }
      const began = performance.now()
      let frames = 0
      let longest = 0
      let last = began
      let sent = 0
      await new Promise<void>((resolve) => {
        const timer = setInterval(() => {
          const due = Math.floor(((performance.now() - began) / 1000) * 5_000) - sent
          burst(due)
          sent += due
        }, 10)
        const frame = (now: number) => {
          frames += 1
          longest = Math.max(longest, now - last)
          last = now
          if (now - began < 5_000) return requestAnimationFrame(frame)
          clearInterval(timer)
          resolve()
        }
        requestAnimationFrame(frame)
      })
      const seconds = (performance.now() - began) / 1000
      return { perSecond: frames / seconds, longest, sent, rate: sent / seconds }
    })
    console.log(
      `live tail with 100,000 rows: ${measured.rate.toFixed(0)} events/s, ${measured.perSecond.toFixed(1)} frames/s, longest ${measured.longest.toFixed(0)} ms`,
    )
    sent += measured.sent
    await hasReceived(page, sent)
    if (process.env.CARILLON_QUIET) {
      expect(measured.rate).toBeGreaterThan(4_500)
      expect(measured.perSecond).toBeGreaterThan(50)
      expect(many.middle).toBeLessThan(20)
    }
    const rows = page.getByRole('listbox', { name: 'Events' })
    await rows.getByText(`"n":${sent},`).waitFor()
    // Newest first, and each number once.
    const shown = (await rows.locator('.seq').allTextContents()).map(Number)
    expect(shown).toEqual(shown.map((_, at) => sent - at))
    // A hundred thousand rows are no more work than a few, and nothing that the page does keeps it from answering for long.
    expect(many.middle).toBeLessThan(2 * few.middle)
    expect(many.longest).toBeLessThan(200)
    // To the other end and back.
    await rows.evaluate((box) => {
      box.scrollTop = box.scrollHeight
    })
    await page.getByText(/shown of 1\d\d,\d\d\d/).waitFor()
    await rows.getByRole('option').last().waitFor()
    expect(there.faults).toEqual([])
    await there.close()
  }, 120_000)
}
