/** How do events come in the compact form, and what do they say? */

import type { Frame } from './transport.js'

/** A frame uses a number whose name this connection was not told: what it says is not known, and nothing after it may be read as if it were. */
export class UnknownNameError extends Error {
  override readonly name = 'UnknownNameError'
  constructor(readonly number: number) {
    super(`the compact form uses the name number ${number}, which this connection was not told`)
  }
}

/** Makes the plain frames of one connection of what came on it; those that are plain stay as they are. */
export function plainFrames(): (frame: Frame) => Frame {
  const names: Record<number, unknown> = {}
  return (frame) => {
    const { type: plain, n, s, k, u, i, w, x } = frame
    if (plain) return frame
    Object.assign(names, n)
    const [[type, source], ...channels] = k.map((name: unknown) => {
      if (typeof name !== 'number') return name
      if (!(name in names)) throw new UnknownNameError(name)
      return names[name]
    })
    const hex = u && hexOf(u)
    const id = hex ? hex.replace(/(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-') : i
    let time = w
    if (typeof w === 'number') {
      const micros = w + (hex?.[12] === '7' ? Number.parseInt(hex.slice(0, 12), 16) * 1000 : 0)
      const text = new Date(Math.floor(micros / 1000)).toISOString().slice(0, -1) + `${micros % 1000}`.padStart(3, '0')
      time = `${text.replace(/\.?0+$/, '')}Z`
    }
    const event = { specversion: '1.0', id, source, type, time, ...x, ...('d' in frame && { data: frame.d }) }
    return { type: 'event', seq: s, channels, event }
  }
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** 32 hexadecimal digits of the 22 characters that a UUID has in base64. Not every platform has `atob`. */
function hexOf(text: string): string {
  const bits = Array.from(text, (char) => ALPHABET.indexOf(char).toString(2).padStart(6, '0')).join('')
  return Array.from({ length: 32 }, (_, at) => Number.parseInt(bits.slice(at * 4, at * 4 + 4), 2).toString(16)).join('')
}

/**
 * A WebSocket class for `createClient({ WebSocket: compactWebSocket() })`: events come in a form that is about a third shorter. A gateway that does
 * not know it sends plain ones, and event streams and polls stay as they are. It is read by `onmessage`, not by `addEventListener`. A frame with
 * an unknown name ends the connection (4000) and is not handed on, nor is anything after it.
 */
export function compactWebSocket(Base: typeof WebSocket = WebSocket): typeof WebSocket {
  return class extends Base {
    // Of the connection, whoever listens: names are told once.
    readonly #plain = plainFrames()
    #isLost = false

    constructor(url: string | URL, protocols: string | string[] = []) {
      super(url, ['carillon.v1.compact', ...[protocols].flat()])
    }

    override set onmessage(listener: WebSocket['onmessage']) {
      super.onmessage =
        listener &&
        ((event) => {
          if (this.#isLost) return
          const { data } = event
          // Every plain frame begins with its type.
          if (typeof data !== 'string' || data.startsWith('{"type"')) return listener.call(this, event)
          let plain: string
          try {
            plain = JSON.stringify(this.#plain(JSON.parse(data)))
          } catch {
            // Thrown out of a listener, it would end a program of Node.
            this.#isLost = true
            this.close(4000, 'unknown name in a compact frame')
            return
          }
          listener.call(this, message(plain))
        })
    }

    override get onmessage() {
      return super.onmessage
    }
  }
}

/** As listeners expect it, also where there is no such class. */
function message(data: string): MessageEvent {
  if (typeof MessageEvent === 'function') return new MessageEvent('message', { data })
  return { type: 'message', data } as MessageEvent
}
