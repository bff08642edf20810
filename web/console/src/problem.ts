// What went wrong with a request, by a name that pages can act on?

export interface Fault {
  readonly pointer?: string
  readonly parameter?: string
  readonly header?: string
  readonly code: string
  readonly detail: string
}

/** An answer of the API that is a problem (RFC 9457), or none at all: `network` and `timeout` are ours. */
export class Problem extends Error {
  override readonly name = 'Problem'
  constructor(
    readonly code: string,
    /** The HTTP status; 0 without an answer. */
    readonly status: number,
    readonly detail: string,
    readonly errors: readonly Fault[] = [],
    readonly requestId: string | null = null,
    /** After how many milliseconds the same may succeed. */
    readonly retryMs: number | null = null,
  ) {
    super(detail)
  }
}

export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error
  const {
    code = 'internal',
    status = 0,
    message = `${error}`,
  } = (error ?? {}) as { code?: string; status?: number; message?: string }
  return new Problem(code, status, message)
}
