// One number at a glance, and where to look at what it counts.

import type { ReactNode } from 'react'
import { Link } from '../route.js'

export function Figures({ label, children }: { label: string; children: ReactNode }) {
  return (
    <section className="figures" aria-label={label}>
      {children}
    </section>
  )
}

interface FigureProps {
  readonly name: string
  readonly value: string
  readonly unit?: string
  readonly under?: ReactNode
  readonly to?: string
  readonly with?: Readonly<Record<string, string>>
}

export function Figure({ name, value, unit, under, to, with: values }: FigureProps) {
  const content = (
    <>
      <span className="name">{name}</span>
      <span className="value">
        {value} {unit && <span className="unit">{unit}</span>}
      </span>
      {under && <span className="under">{under}</span>}
    </>
  )
  if (!to) return <div className="figure">{content}</div>
  return (
    <Link className="figure" to={to} {...(values && { with: values })}>
      {content}
    </Link>
  )
}
