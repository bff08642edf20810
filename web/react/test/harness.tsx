// How is a component rendered, with frames that the test lets pass?

import { act, type ReactNode } from 'react'
import { createRoot, type Root } from 'react-dom/client'
import { afterEach, beforeEach, vi } from 'vitest'

declare global {
  var IS_REACT_ACT_ENVIRONMENT: boolean
}
globalThis.IS_REACT_ACT_ENVIRONMENT = true

let frames = new Map<number, () => void>()
let lastFrame = 0
const roots: Root[] = []

beforeEach(() => {
  frames = new Map()
  vi.stubGlobal('requestAnimationFrame', (run: () => void) => {
    frames.set(++lastFrame, run)
    return lastFrame
  })
  vi.stubGlobal('cancelAnimationFrame', (id: number) => frames.delete(id))
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
})

afterEach(async () => {
  for (const root of roots.splice(0)) await act(async () => root.unmount())
  await vi.runAllTimersAsync()
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

/** Lets promises settle, and one frame pass. */
export async function frame(): Promise<void> {
  await act(async () => {
    await vi.advanceTimersByTimeAsync(0)
    const due = [...frames.values()]
    frames.clear()
    for (const run of due) run()
  })
}

/** Lets time pass: what lingers ends. */
export async function pass(milliseconds: number): Promise<void> {
  await act(async () => {
    await vi.advanceTimersByTimeAsync(milliseconds)
  })
  await frame()
}

export async function render(what: ReactNode, into = document.createElement('div')) {
  const root = createRoot(into)
  roots.push(root)
  document.body.append(into)
  await act(async () => root.render(what))
  return {
    into,
    text: () => into.textContent,
    click: () => act(async () => into.querySelector('button')?.click()),
    again: (next: ReactNode) => act(async () => root.render(next)),
    unmount: () => act(async () => root.unmount()),
  }
}
