// Does the console show what an installation does, on every page and in every state?
//
// One installation for all of them, which takes a few seconds to start; what is about one page is in a file of test/pages.

import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe } from 'vitest'
import { launch } from '../../testing/pages.js'
import { type Stack, startStack } from '../../testing/stack.js'
import { analytics } from './pages/analytics.js'
import { audit } from './pages/audit.js'
import { faults } from './pages/faults.js'
import { frame } from './pages/frame.js'
import { inspector } from './pages/inspector.js'
import { keys } from './pages/keys.js'
import { notices } from './pages/notices.js'
import { outages } from './pages/outages.js'
import { overview } from './pages/overview.js'
import { preferences } from './pages/preferences.js'
import { rules } from './pages/rules.js'
import { tail } from './pages/tail.js'
import { tenants } from './pages/tenants.js'
import { troubles } from './pages/troubles.js'
import { types } from './pages/types.js'
import { webhooks } from './pages/webhooks.js'
import { why } from './pages/why.js'

export interface Given {
  readonly stack: Stack
  readonly browser: Browser
}

const given = {} as { stack: Stack; browser: Browser }
beforeAll(async () => {
  given.stack = await startStack('--gateways', '2')
  given.browser = await launch()
})
afterAll(async () => {
  await given.browser?.close()
  await given.stack?.down()
})

describe('the frame', () => frame(given))
describe('the overview', () => overview(given))
describe('the notices', () => notices(given))
describe('the event types', () => types(given))
describe('the rules', () => rules(given))
describe('the preferences tester', () => preferences(given))
describe('keys', () => keys(given))
describe('audit', () => audit(given))
describe('the webhooks', () => webhooks(given))
describe('analytics', () => analytics(given))
describe('tenants and limits', () => tenants(given))
describe('the inspector', () => inspector(given))
describe('pages without an answer', () => troubles(given))
describe('what is refused', () => faults(given))
describe('the live tail', () => tail(given))
describe('why', () => why(given))
describe('outages', () => outages(given))
