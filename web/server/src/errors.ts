// Which errors does this package throw, and what do they say?

/** One fault of a request, as a problem document lists it. */
export interface Fault {
  /** JSON pointer (RFC 6901) into the body. */
  pointer?: string
  parameter?: string
  header?: string
  code: string
  detail: string
}

/** What every error of the service says (RFC 9457, `application/problem+json`). */
export interface Problem {
  /** Stable name of what is wrong, such as `validation` or `tenant_busy`. */
  code: string
  /** HTTP status; 0 where no answer came. */
  status: number
  title: string
  detail?: string
  requestId?: string
  /** All faults of the request, at most 100. */
  errors: Fault[]
  /** How long the service asks to wait, in milliseconds. */
  retryAfterMs?: number
  /** How many requests were sent in all. */
  attempts: number
}

/** The service, or something in front of it, refused a request. */
export class CarillonError extends Error {
  override name = 'CarillonError'
  readonly code: string
  readonly status: number
  readonly requestId: string | undefined
  readonly errors: readonly Fault[]
  readonly retryAfterMs: number | undefined
  readonly attempts: number

  constructor(problem: Problem, options?: ErrorOptions) {
    const faults = problem.errors.map((fault) =>
      `${fault.pointer ?? fault.parameter ?? fault.header ?? ''} ${fault.detail}`.trim(),
    )
    super([`${problem.code}: ${problem.detail ?? problem.title}`, ...faults].join('; '), options)
    this.code = problem.code
    this.status = problem.status
    this.requestId = problem.requestId
    this.errors = problem.errors
    this.retryAfterMs = problem.retryAfterMs
    this.attempts = problem.attempts
  }
}

/** 400, 413, 415 or 422: the request is wrong and stays wrong. `errors` says where. Nothing was stored. */
export class InvalidRequestError extends CarillonError {
  override name = 'InvalidRequestError'
}

/** 401: the API key or token is missing, wrong, expired or revoked. */
export class UnauthorizedError extends CarillonError {
  override name = 'UnauthorizedError'
}

/** 403: the API key or token is good, but does not allow this. */
export class ForbiddenError extends CarillonError {
  override name = 'ForbiddenError'
}

/** 429, after all retries: nothing was stored. */
export class RateLimitedError extends CarillonError {
  override name = 'RateLimitedError'
}

/**
 * 408, 502, 503, 504 or no answer at all, after all retries. Only with `unavailable`, a gateway's time-out or without an answer is it unknown whether
 * the events were stored: publish the same again with the same ids or the same `idempotencyKey`.
 */
export class UnavailableError extends CarillonError {
  override name = 'UnavailableError'
}

/** The error that stands for this status. */
export function errorOf(problem: Problem, options?: ErrorOptions): CarillonError {
  const { status } = problem
  if (status === 401) return new UnauthorizedError(problem, options)
  if (status === 403) return new ForbiddenError(problem, options)
  if (status === 429) return new RateLimitedError(problem, options)
  if (status === 0 || status === 408 || (status >= 502 && status <= 504)) return new UnavailableError(problem, options)
  if (status >= 400 && status < 500) return new InvalidRequestError(problem, options)
  return new CarillonError(problem, options)
}

/** Why a webhook was not accepted. */
export type WebhookErrorCode =
  | 'header_missing'
  | 'timestamp_invalid'
  | 'timestamp_too_old'
  | 'timestamp_too_new'
  | 'signature_mismatch'
  | 'body_invalid'

/** A message at a webhook that must not be believed: answer 401. */
export class WebhookError extends Error {
  override name = 'WebhookError'
  constructor(
    readonly code: WebhookErrorCode,
    message: string,
  ) {
    super(`${code}: ${message}`)
  }
}
