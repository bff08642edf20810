// How does a page ask for more than a line, or for yes and no?

import { type ReactNode, type TextareaHTMLAttributes, useId } from 'react'

type AreaProps = Omit<TextareaHTMLAttributes<HTMLTextAreaElement>, 'onChange' | 'value' | 'id'> & {
  readonly label: string
  readonly value: string
  readonly onChange: (text: string) => void
  readonly help?: ReactNode
  readonly fault?: string | null | undefined
}

export function Area({ label, value, onChange, help, fault, ...rest }: AreaProps) {
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <textarea
        spellCheck={false}
        rows={3}
        {...rest}
        id={id}
        value={value}
        aria-invalid={fault ? true : undefined}
        aria-describedby={help || fault ? `${id}-help` : undefined}
        onChange={({ target }) => onChange(target.value)}
      />
      {(fault || help) && (
        <p id={`${id}-help`} className={fault ? 'fault' : 'help'}>
          {fault ?? help}
        </p>
      )}
    </div>
  )
}

export function Check({
  label,
  value,
  onChange,
  help,
  fault,
}: {
  label: string
  value: boolean
  onChange: (value: boolean) => void
  help?: ReactNode
  fault?: string | null | undefined
}) {
  return (
    <label className="check">
      <input
        type="checkbox"
        checked={value}
        aria-invalid={fault ? true : undefined}
        onChange={({ target }) => onChange(target.checked)}
      />
      <span>
        {label}
        {help && <small>{help}</small>}
        {fault && <small className="fault">{fault}</small>}
      </span>
    </label>
  )
}
