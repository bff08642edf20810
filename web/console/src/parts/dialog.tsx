// How is something asked that must be answered first? The browser's own dialog keeps the focus and gives it back.

import { type ReactNode, useEffect, useId, useRef } from 'react'
import { Icon } from '../icons.js'

export function Dialog({ title, close, children }: { title: string; close: () => void; children: ReactNode }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => {
    const shown = dialog.current
    shown?.showModal()
    return () => shown?.close()
  }, [])
  return (
    <dialog ref={dialog} aria-labelledby={id} onClose={close} onCancel={close}>
      <header className="row">
        <h2 id={id} className="grow">
          {title}
        </h2>
        <button type="button" className="quiet" onClick={close}>
          <Icon name="close" label="Close" />
        </button>
      </header>
      {children}
    </dialog>
  )
}

/** For what cannot be taken back. */
export function Confirm({
  title,
  text,
  action,
  run,
  close,
}: {
  title: string
  text: ReactNode
  action: string
  run: () => void
  close: () => void
}) {
  return (
    <Dialog title={title} close={close}>
      <p>{text}</p>
      <div className="row end">
        <button type="button" onClick={close}>
          Cancel
        </button>
        <button
          type="button"
          className="danger"
          onClick={() => {
            close()
            run()
          }}
        >
          {action}
        </button>
      </div>
    </Dialog>
  )
}
