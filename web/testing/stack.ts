// Where does a real installation for tests come from?

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readlinkSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** What `carillon up --json` tells. */
export interface Stack {
  /** The one address that serves everything. */
  lb: string
  gateways: string[]
  publisher: string
  jwt_secret: string
  api_key: string
  database_url: string
  redis_url: string
  /** Where the example pages are, with `--examples`. */
  examples?: string
  /** Process ids by name: `publisher`, `gateway-1`, … */
  pids: Record<string, number>
  /** Starts again what has been killed of it. */
  revive(): Promise<void>
  /** Kills Redis, as a crash does; what it returns starts one again, empty. Linux only. */
  killRedis(): () => void
  /** Stops it and deletes its data. */
  down(): Promise<void>
}

/** Starts a stack of its own from the debug binaries (`CARILLON_BIN` names others). */
export async function startStack(...options: string[]): Promise<Stack> {
  const program = process.env.CARILLON_BIN ?? fileURLToPath(new URL('../../target/debug/carillon', import.meta.url))
  if (!existsSync(program)) throw new Error(`${program} is missing: make debug`)
  const data = mkdtempSync(join(tmpdir(), 'carillon-web-stack-'))
  const restarted: ChildProcess[] = []
  const down = async () => {
    await run(program, ['--data', data, 'down']).catch(() => {})
    for (const one of restarted) one.kill()
    rmSync(data, { recursive: true, force: true })
  }
  try {
    const up = async () =>
      JSON.parse((await run(program, ['--data', data, 'up', '--detach', '--json', '--no-demo', ...options])).stdout)
    const stack: Stack = { ...(await up()), down }
    // `up` would begin a whole stack anew without its Redis. It was empty when it began, and so is the next.
    stack.killRedis = () => {
      const pid = restarted.at(-1)?.pid ?? stack.pids.redis!
      const file = readlinkSync(`/proc/${pid}/exe`)
      process.kill(pid, 'SIGKILL')
      const { port } = new URL(stack.redis_url)
      const options = ['--bind', '127.0.0.1', '--port', port, '--save', '', '--appendonly', 'no']
      return () => void restarted.push(spawn(file, options, { cwd: data, argv0: 'redis-server', stdio: 'ignore' }))
    }
    stack.revive = async () => void Object.assign(stack, await up())
    return stack
  } catch (error) {
    await down()
    throw error
  }
}

/** Waits for a condition. The deadline is no bound of anything: it names what a test hangs at, on a machine that does much else. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, milliseconds = 30_000): Promise<void> {
  const deadline = Date.now() + milliseconds
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${milliseconds} ms`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** A port of this machine that nobody has. */
export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
