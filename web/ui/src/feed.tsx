// How does one move in a feed with the keyboard?

import { type KeyboardEvent, type ReactNode, useEffect, useRef } from 'react'

/**
 * The WAI-ARIA feed: Page Down and Page Up lead from article to article, Ctrl+End and Ctrl+Home to what stands after and before the feed.
 * More is loaded when its end comes into view.
 */
export function Feed({
  label,
  isBusy,
  onEnd,
  children,
}: {
  label: string
  isBusy: boolean
  onEnd?: (() => void) | undefined
  children: ReactNode
}) {
  const feed = useRef<HTMLDivElement>(null)
  const end = useRef<HTMLDivElement>(null)
  const newest = useRef(onEnd)
  useEffect(() => {
    newest.current = onEnd
  })
  const hasEnd = onEnd !== undefined
  useEffect(() => {
    if (!hasEnd || !end.current || typeof IntersectionObserver === 'undefined') return
    const observer = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && newest.current?.(), {
      rootMargin: '200px',
    })
    observer.observe(end.current)
    return () => observer.disconnect()
  }, [hasEnd])

  const move = (event: KeyboardEvent) => {
    const isLeaving = event.ctrlKey && (event.key === 'End' || event.key === 'Home')
    const step = event.key === 'PageDown' ? 1 : event.key === 'PageUp' ? -1 : 0
    if (!feed.current || (!step && !isLeaving)) return
    const articles = [...feed.current.querySelectorAll('article')]
    const at = articles.findIndex((article) => article.contains(document.activeElement))
    const target = isLeaving
      ? besides(feed.current, event.key === 'End')
      : articles[Math.max(0, Math.min(articles.length - 1, at + step))]
    event.preventDefault()
    target?.focus()
  }
  return (
    <div ref={feed} className="crln-feed" role="feed" aria-label={label} aria-busy={isBusy} onKeyDown={move}>
      {children}
      <div ref={end} />
    </div>
  )
}

/** The first thing after an element that takes focus, or the last before it. */
function besides(element: Element, isAfter: boolean): HTMLElement | undefined {
  const all = [...document.querySelectorAll<HTMLElement>('a[href],button,input,select,textarea,[tabindex="0"]')].filter(
    (one) => !element.contains(one),
  )
  const where = isAfter ? Node.DOCUMENT_POSITION_FOLLOWING : Node.DOCUMENT_POSITION_PRECEDING
  const there = all.filter((one) => element.compareDocumentPosition(one) & where)
  return isAfter ? there[0] : there.at(-1)
}
