// How do Web Locks behave where a test decides who has one?

/** Web Locks, of one name. */
export function locks() {
  let held: { reject(error: Error): void } | null = null
  let waiting: (() => void)[] = []
  const free = () => waiting.shift()?.()
  return {
    query: async () => ({}),
    request: (_name: string, { steal, signal }: LockOptions, then: () => unknown) =>
      new Promise((resolve, reject) => {
        const grant = () => {
          if (signal?.aborted) return free()
          const mine = { reject }
          held = mine
          Promise.resolve(then()).then((value) => {
            if (held === mine) {
              held = null
              free()
            }
            resolve(value)
          }, reject)
        }
        const aborted = () => new DOMException('', 'AbortError')
        signal?.addEventListener('abort', () => reject(aborted()))
        if (steal) {
          held?.reject(aborted())
          held = null
        }
        held ? waiting.push(grant) : grant()
      }),
    stop() {
      waiting = []
    },
  }
}
