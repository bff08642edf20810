// What is otherwise in `after` than in `before`?

/** One place that is not the same. What was not there is `undefined`. */
export interface Difference {
  /** `subscribe[1]`, `limits.connections`; empty: the whole value. */
  readonly path: string
  readonly before: unknown
  readonly after: unknown
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isNothing = (value: unknown) => value === null || value === undefined

const isSimple = (value: unknown) => typeof value !== 'object' || value === null

/** Places in the order of the fields; a list of simple values is one place, because a member more moves all after it. */
export function differences(before: unknown, after: unknown, path = ''): readonly Difference[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return []
  // What was made or is gone is told field by field, too.
  if ((isObject(before) && (isObject(after) || isNothing(after))) || (isNothing(before) && isObject(after))) {
    const [was, is] = [isObject(before) ? before : {}, isObject(after) ? after : {}]
    const names = [...new Set([...Object.keys(was), ...Object.keys(is)])]
    if (names.length > 0) return names.flatMap((name) => differences(was[name], is[name], path ? `${path}.${name}` : name))
  }
  if (Array.isArray(before) && Array.isArray(after) && !(before.every(isSimple) && after.every(isSimple))) {
    const most = Math.max(before.length, after.length)
    return Array.from({ length: most }).flatMap((_, n) => differences(before[n], after[n], `${path}[${n}]`))
  }
  return [{ path, before, after }]
}

/** A value in one line. */
export function written(value: unknown): string {
  if (value === undefined) return ''
  if (typeof value === 'string') return value === '' ? '""' : value
  if (Array.isArray(value) && value.every(isSimple)) return value.length === 0 ? 'none' : value.map(written).join(', ')
  return JSON.stringify(value) ?? ''
}
