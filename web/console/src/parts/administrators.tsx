// Which pages are for administrators alone? Who may only read is told so, and nothing is asked that would be refused.

import type { ComponentType } from 'react'
import { useMay } from '../session.js'
import { ForAdministrators } from './more.js'
import { Page } from './page.js'

export function forAdministrators(title: string, Inner: ComponentType): ComponentType {
  return function Guarded() {
    if (useMay('admin')) return <Inner />
    return (
      <Page title={title}>
        <ForAdministrators what={title} />
      </Page>
    )
  }
}
