// What do the buttons look like?

const paths = {
  bell: 'M6 9a6 6 0 0 1 12 0c0 6 2 7 2 8H4c0-1 2-2 2-8M10 20a2 2 0 0 0 4 0',
  check: 'M5 12l5 5 9-10',
  dot: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8',
  archive: 'M4 5h16v4H4zM6 9v10h12V9M10 13h4',
  inbox: 'M4 13l3-8h10l3 8v6H4zM4 13h5l1 2h4l1-2h5',
  trash: 'M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13',
  clock: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16M12 8v5l3 2',
  close: 'M6 6l12 12M18 6L6 18',
  gear: 'M4 7h10M18 7h2M4 17h2M10 17h10M14 5v4M8 15v4',
  back: 'M14 6l-6 6 6 6',
  pause: 'M9 6v12M15 6v12',
  play: 'M8 5l11 7-11 7z',
} as const

export type IconName = keyof typeof paths

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className={`crln-icon crln-icon-${name}`} viewBox="0 0 24 24" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  )
}

/** A button that shows an icon and says its name. */
export function IconButton({ name, label, onClick }: { name: IconName; label: string; onClick: () => void }) {
  return (
    <button type="button" className="crln-button crln-iconbutton" aria-label={label} title={label} onClick={onClick}>
      <Icon name={name} />
    </button>
  )
}
