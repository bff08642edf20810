// Which pages are there? One line each: its path, its name, and the file that draws it.

import { type ComponentType, type LazyExoticComponent, lazy } from 'react'
import type { IconName } from './icons.js'

export interface PageEntry {
  readonly path: string
  readonly name: string
  readonly icon: IconName
  readonly group: 'Watch' | 'Ask' | 'Send' | 'Set up'
  /** It is about one tenant: who has several chooses one first. */
  readonly ofTenant: boolean
  readonly Page: LazyExoticComponent<ComponentType>
}

/** A page is the default export of its file. */
const page = (
  group: PageEntry['group'],
  path: string,
  name: string,
  icon: IconName,
  ofTenant: boolean,
  load: () => Promise<{ default: ComponentType }>,
): PageEntry => ({ group, path, name, icon, ofTenant, Page: lazy(load) })

export const pages: readonly PageEntry[] = [
  page('Watch', '/', 'Overview', 'overview', false, () => import('./pages/overview.js')),
  page('Watch', '/tail', 'Live tail', 'tail', true, () => import('./pages/tail.js')),
  page('Ask', '/why', 'Why', 'why', true, () => import('./pages/why.js')),
  page('Watch', '/analytics', 'Analytics', 'analytics', true, () => import('./pages/analytics/index.js')),
  page('Send', '/notices', 'Notices', 'notices', true, () => import('./pages/notices/index.js')),
  page('Ask', '/inspect', 'Inspector', 'inspect', true, () => import('./pages/inspector/index.js')),
  page('Set up', '/types', 'Event types', 'types', true, () => import('./pages/types/index.js')),
  page('Set up', '/rules', 'Rules', 'rules', true, () => import('./pages/rules/index.js')),
  page('Set up', '/preferences', 'Preferences tester', 'preferences', true, () => import('./pages/preferences/index.js')),
  page('Set up', '/tenants', 'Tenants and limits', 'tenants', true, () => import('./pages/tenants/index.js')),
  page('Set up', '/keys', 'Keys', 'keys', false, () => import('./pages/keys/index.js')),
  page('Set up', '/audit', 'Audit', 'audit', false, () => import('./pages/audit/index.js')),
  page('Set up', '/webhooks', 'Webhooks', 'webhooks', true, () => import('./pages/webhooks/index.js')),
]
