// Which services stand behind the proxies, and how do they come and go?
//
// All of 127.0.0.0/8 is this machine, so every gateway has an address of its own with the same ports, as hosts have. The
// database, Redis and the keys are those of a stack of `carillon up`.

import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'

import { until } from '../interop/checks.mjs'
import { need } from '../interop/stack.mjs'

const PATIENCE = 30_000
/** The balancers before a proxy, the last one last. */
export const BEFORE = ['127.0.7.1', '127.0.7.2']

/** A port that nobody has on any address. */
export function free() {
  return new Promise((done) => {
    const server = createServer().listen(0, () => {
      const { port } = server.address()
      server.close(() => done(port))
    })
  })
}

/** One gateway or publisher. */
export class Service {
  constructor(kind, name, host, ports, env = {}) {
    Object.assign(this, { kind, name, host, ...ports, env })
    this.log = `${need('CARILLON_WORK')}/${name}.log`
  }

  get address() {
    return `${this.host}:${this.port}`
  }

  get ready() {
    return fetch(`http://${this.host}:${this.ops}/readyz`).then(({ ok }) => ok, () => false)
  }

  async start() {
    const log = openSync(this.log, 'a')
    this.child = spawn(`${need('CARILLON_PROGRAMS')}/carillon-${this.kind}`, ['serve'], {
      stdio: ['ignore', log, log],
      env: {
        PATH: process.env.PATH,
        ...JSON.parse(need('CARILLON_ENVIRONMENT')),
        CARILLON_SOCKETIO: 'on',
        CARILLON_NODE: this.name,
        CARILLON_LISTEN: this.address,
        CARILLON_OPS_LISTEN: `${this.host}:${this.ops}`,
        ...this.env,
      },
    })
    closeSync(log)
    const { child } = this
    child.on('exit', () => { child.gone = true })
    await until(PATIENCE, `${this.name} is ready`, async () => {
      if (child.gone) throw new Error(`${this.name} ended: ${readFileSync(this.log, 'utf8').slice(-500)}`)
      return this.ready
    })
    return this
  }

  /** Ends it by a signal, and waits until it is gone. */
  async end(signal) {
    this.child.kill(signal)
    await until(PATIENCE, `the end of ${this.name}`, () => this.child.gone)
  }

  /** Starts it unless it runs. */
  async revive() {
    if (!this.child || this.child.gone) await this.start()
  }
}

/** Three gateways, two publishers, and a gateway that takes two connections of an address. */
export async function fleet() {
  const gateway = { port: await free(), ops: await free() }
  const publisher = { port: await free(), ops: await free() }
  const fleet = {
    gateways: [1, 2, 3].map((n) => new Service('gateway', `gateway-${n}`, `127.0.8.${n}`, gateway)),
    publishers: [1, 2].map((n) => new Service('publisher', `publisher-${n}`, `127.0.8.${20 + n}`, publisher)),
    narrow: new Service('gateway', 'gateway-narrow', '127.0.8.9', gateway, {
      CARILLON_MAX_CONNECTIONS_PER_IP: '2',
      CARILLON_TRUSTED_PROXIES: ['127.0.0.1', ...BEFORE].join(','),
    }),
  }
  fleet.all = [...fleet.gateways, ...fleet.publishers, fleet.narrow]
  fleet.revive = () => Promise.all(fleet.all.map((service) => service.revive()))
  await fleet.revive()
  return fleet
}
