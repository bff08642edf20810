// How do numbers get into a table program?

type Cell = string | number | null | undefined

/** RFC 4180. A text that a table program would run as a formula begins with an apostrophe. */
export const csv = (rows: readonly (readonly Cell[])[]) => `${rows.map((row) => row.map(cell).join(',')).join('\r\n')}\r\n`

function cell(value: Cell): string {
  if (value === null || value === undefined) return ''
  if (typeof value === 'number') return `${value}`
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** Gives the browser a file. */
export function download(name: string, text: string) {
  const address = URL.createObjectURL(new Blob(['\ufeff', text], { type: 'text/csv;charset=utf-8' }))
  const link = document.createElement('a')
  link.href = address
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(address), 10_000)
}
