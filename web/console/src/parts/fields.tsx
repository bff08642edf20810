// How does a page ask for something?

import { type InputHTMLAttributes, type ReactNode, useEffect, useId, useRef, useState } from 'react'

type FieldProps = Omit<InputHTMLAttributes<HTMLInputElement>, 'onChange' | 'value' | 'id'> & {
  readonly label: string
  readonly value: string
  readonly onChange: (text: string) => void
  readonly help?: ReactNode
  /** The fault of this field, from the answer: see `faultOf`. */
  readonly fault?: string | null | undefined
}

export function Field({ label, value, onChange, help, fault, ...rest }: FieldProps) {
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        spellCheck={false}
        autoComplete="off"
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

/** A filter that stands in the URL: it is set when typing pauses, on Enter and when it is left. */
export function Filter({ label, value, onChange, ...rest }: FieldProps) {
  const [text, setText] = useState(value)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const told = useRef(value)
  useEffect(() => {
    if (value !== told.current) setText(value)
    told.current = value
  }, [value])
  useEffect(() => () => clearTimeout(timer.current), [])
  const tell = (next: string) => {
    clearTimeout(timer.current)
    if (next === told.current) return
    told.current = next
    onChange(next)
  }
  return (
    <Field
      type="search"
      {...rest}
      label={label}
      value={text}
      onChange={(next) => {
        setText(next)
        clearTimeout(timer.current)
        timer.current = setTimeout(tell, 250, next)
      }}
      onBlur={() => tell(text)}
      onKeyDown={({ key }) => key === 'Enter' && tell(text)}
    />
  )
}

export function Select({
  label,
  value,
  onChange,
  options,
  fault,
}: {
  label: string
  value: string
  onChange: (value: string) => void
  options: readonly (readonly [string, string])[]
  fault?: string | null | undefined
}) {
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select
        id={id}
        value={value}
        aria-invalid={fault ? true : undefined}
        aria-describedby={fault ? `${id}-fault` : undefined}
        onChange={({ target }) => onChange(target.value)}
      >
        {options.map(([key, text]) => (
          <option key={key} value={key}>
            {text}
          </option>
        ))}
      </select>
      {fault && (
        <p id={`${id}-fault`} className="fault">
          {fault}
        </p>
      )}
    </div>
  )
}
