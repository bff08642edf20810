// Which small pictures are there? Drawn on a grid of 20, one line wide.

const paths = {
  overview: 'M3 16V9m4.7 7V4m4.600 12v-5M17 16V7',
  tail: 'M3 5h9M3 10h14M3 15h6m5-1v3m-1.500-1.500h3',
  why: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM7.900 8.200c.200-1.200 1.100-1.900 2.200-1.900 1.300 0 2.200.8 2.200 1.900 0 1.500-2.200 1.700-2.200 3.200m0 2.300v.1',
  inspect: 'M9 15A6 6 0 1 0 9 3a6 6 0 0 0 0 12zm4.300-1.700L17.500 17.500',
  notices: 'M10 3a5 5 0 0 1 5 5v3l1.500 3h-13L5 11V8a5 5 0 0 1 5-5zM8 16.500a2 2 0 0 0 4 0',
  types: 'M3.500 4.500h5.500v5.500H3.500zM11 4.500h5.500M11 8h3.500M3.500 13h13M3.500 16.500h8',
  rules: 'M10 2.800l6 2.200v4.500c0 3.600-2.400 6.500-6 7.700-3.600-1.200-6-4.100-6-7.700V5zM7.300 10l1.900 1.900 3.500-3.700',
  preferences: 'M3 6h8m4 0h2M3 14h2m4 0h8M13 8a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM7 16a2 2 0 1 0 0-4 2 2 0 0 0 0 4z',
  webhooks: 'M4 10a6 6 0 0 1 12 0M7 10a3 3 0 0 1 6 0m-3 0v7m-2.500-2.500L10 17l2.500-2.500',
  keys: 'M12.500 11.500a4 4 0 1 0-3.300-1.700L3.500 15.500V17h2.800v-1.800h1.800v-1.800h1.300zM13.700 6.300v.1',
  tenants: 'M3.500 17V5.500L10 3v14m0-9.500l6.500 2V17M2.500 17h15M6.200 8v.1m0 3v.1m0 3v.1m7-2.200v.1m0 2v.1',
  audit: 'M5 3h7l3 3v11H5zM7.500 8h5m-5 3h5m-5 3h3',
  analytics: 'M3 16.500h14M3.500 13l4-4.500 3 2.500 5.500-6.500m0 0h-3.200m3.200 0v3.200',
  menu: 'M3 5.500h14M3 10h14M3 14.500h14',
  close: 'M5 5l10 10M15 5L5 15',
  sun: 'M10 13a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM10 2.500v1.500m0 12v1.500M2.500 10H4m12 0h1.500M4.700 4.700l1 1m8.600 8.600l1 1m0-10.600l-1 1m-8.600 8.600l-1 1',
  moon: 'M16.500 11.500A7 7 0 0 1 8.500 3.500a7 7 0 1 0 8 8z',
  screen: 'M3 4h14v9H3zM7.500 16.500h5',
  out: 'M12 6V3.500H4v13h8V14M8.500 10H17m0 0l-2.500-2.500M17 10l-2.500 2.500',
  pause: 'M7 4.500v11m6-11v11',
  play: 'M6 4l10 6-10 6z',
  clear: 'M4 6h12M8 6V4h4v2M6 6l.7 10.500h6.600L14 6',
  copy: 'M7 7h9.500v9.500H7zM13 7V3.500H3.500V13H7',
  up: 'M10 16V4.500M5 9l5-5 5 5',
  retry: 'M16 10a6 6 0 1 1-1.800-4.300M16 3.500V7h-3.500',
  warn: 'M10 3l7.500 13.500h-15zM10 8v4m0 2.300v.1',
  yes: 'M4 10.500l4 4 8-9',
  no: 'M5 5l10 10M15 5L5 15',
  unknown: 'M4 10h12',
  next: 'M7.500 4.500L13 10l-5.500 5.500',
} as const

export type IconName = keyof typeof paths

export function Icon({ name, label }: { name: IconName; label?: string }) {
  const picture = <path d={paths[name]} />
  if (!label)
    return (
      <svg className="icon" viewBox="0 0 20 20" aria-hidden="true">
        {picture}
      </svg>
    )
  return (
    <svg className="icon" viewBox="0 0 20 20" role="img" aria-label={label}>
      {picture}
    </svg>
  )
}
