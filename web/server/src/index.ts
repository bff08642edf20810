// @carillon/server: publish, write notices, make tokens and tickets, verify webhooks. Needs Web Crypto and fetch, and nothing else.

export { Carillon, type CarillonOptions } from './carillon.js'
export {
  CarillonError,
  type Fault,
  ForbiddenError,
  InvalidRequestError,
  type Problem,
  RateLimitedError,
  UnauthorizedError,
  UnavailableError,
  WebhookError,
  type WebhookErrorCode,
} from './errors.js'
export type { RetryPolicy } from './retry.js'
export { type TokenOptions, token } from './token.js'
export type {
  Audience,
  Notice,
  NoticeText,
  Position,
  Priority,
  PublishEvent,
  PublishOptions,
  Receipt,
  RequestOptions,
  Ticket,
} from './types.js'
export { type VerifiedWebhook, type VerifyOptions, verifyWebhook, type WebhookEvent } from './webhook.js'
