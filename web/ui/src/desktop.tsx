// May the browser show notifications, and how is it asked?

import { useEffect, useState } from 'react'
import type { Used } from './look.js'

export type Permission = NotificationPermission | 'unsupported'

const permissionNow = (): Permission => (typeof Notification === 'undefined' ? 'unsupported' : Notification.permission)

/** Asks where people decide about notices, and only when they want it: a browser that is asked unasked blocks for ever. */
export function DesktopPermission({ look: { t } }: { look: Used }) {
  const [permission, setPermission] = useState<Permission>('unsupported')
  useEffect(() => setPermission(permissionNow()), [])
  if (permission === 'denied') return <p className="crln-note">{t.desktopBlocked}</p>
  if (permission !== 'default') return null
  const ask = () => void Notification.requestPermission().then(setPermission)
  return (
    <button type="button" className="crln-button crln-wide" onClick={ask}>
      {t.allowDesktop}
    </button>
  )
}

/** Shows a notification of the browser, if the page is not seen and may. A click leads to the page. */
export function showOnDesktop(title: string, options: { body?: string; tag: string; onClick?: () => void }): void {
  if (permissionNow() !== 'granted' || document.visibilityState === 'visible') return
  const { onClick, ...rest } = options
  try {
    const shown = new Notification(title, rest)
    shown.onclick = () => {
      window.focus()
      onClick?.()
      shown.close()
    }
  } catch {
    // Chrome on Android has notifications of service workers only.
  }
}
