// How much more or less is it than before?

/** `+12 %`, and whether that is more. Without anything before there is nothing to compare with. */
export function change(
  now: number,
  before: number | undefined,
): { readonly text: string; readonly is: 'more' | 'less' | 'same' } {
  if (before === undefined) return { text: '', is: 'same' }
  if (before === now) return { text: '±0 %', is: 'same' }
  if (before === 0) return { text: 'new', is: 'more' }
  const share = ((now - before) / before) * 100
  const size = Math.abs(share) < 10 ? Math.abs(share).toFixed(1) : Math.round(Math.abs(share)).toLocaleString('en')
  return { text: `${share > 0 ? '+' : '−'}${size} %`, is: share > 0 ? 'more' : 'less' }
}
