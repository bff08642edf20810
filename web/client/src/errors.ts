/** How does an error of the client look? */

import type { CarillonError as Shape } from './types.js'

export type ErrorDetails = Partial<Pick<Shape, 'status' | 'retryMs' | 'channels' | 'errors' | 'cause'>>

/** What went wrong, with a `code` for programs; the codes stand at the interface of the same name. */
export class CarillonError extends Error implements Shape {
  override readonly name = 'CarillonError'
  declare readonly status?: number
  declare readonly retryMs?: number
  declare readonly channels?: readonly string[]
  declare readonly errors?: NonNullable<Shape['errors']>
  declare readonly cause?: unknown

  constructor(
    readonly code: string,
    message: string,
    details: ErrorDetails = {},
  ) {
    super(message)
    Object.assign(this, details)
  }
}

/** `getToken` throws it to say that nobody is signed in any more: the client stops as `failed`, with the code `unauthorized`. */
export class Unauthorized extends CarillonError {
  constructor(message = 'nobody is signed in') {
    super('unauthorized', message)
  }
}
