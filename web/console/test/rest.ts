// How does a test ask the REST API itself, to compare with what a page shows?

import type { Stack } from '../../testing/stack.js'

export interface Asked {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: whatever the answer is, a test reads of it what it expects
  readonly body: any
}

/** With the stack's API key, or another one. */
export async function rest(stack: Stack, method: string, path: string, body?: unknown, key = stack.api_key): Promise<Asked> {
  const answer = await fetch(`${stack.lb}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  return { status: answer.status, body: text ? JSON.parse(text) : null }
}
