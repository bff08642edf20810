// Does a cache let an event stream's first message through at once?
//
// Each stands before a gateway, and before a server whose stream has no chunks (its end is the end of the connection) and sends its first
// message in one piece with the head, as a gateway did once.

import { createServer } from 'node:net'
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import http from 'node:http'

import { until, within } from '../interop/checks.mjs'
import { need, stack } from '../interop/stack.mjs'
import { free } from './services.mjs'

/** How long the server without chunks waits for its second message: a heartbeat, shortened. */
const SECOND = 4_000
const AT_ONCE = 1_500

const first = (program, ...words) => /\d+\.\d+(\.\d+)?/.exec(execFileSync('sh', ['-c', `${[program, ...words].join(' ')} 2>&1`], { encoding: 'utf8', env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } }))[0]

const modules = ['mpm_event', 'authz_core', 'proxy', 'proxy_http', 'cache', 'cache_disk']

/** Each: its file, and how it is started. */
export const caches = [
  {
    name: 'Varnish',
    version: () => first('varnishd', '-V'),
    file: (_, { host, port }) => `vcl 4.1;\nbackend default { .host = "${host}"; .port = "${port}"; .first_byte_timeout = 60s; .between_bytes_timeout = 3600s; }\n`,
    command: (it) => ['varnishd', '-F', '-j', 'none', '-a', `127.0.0.1:${it.port}`, '-f', it.file, '-n', `${it.place}/run`, '-s', 'malloc,16m'],
  },
  {
    name: 'Squid',
    version: () => first('squid', '-v'),
    file: (it, { host, port }) => `http_port 127.0.0.1:${it.port} accel defaultsite=carillon no-vhost\ncache_peer ${host} parent ${port} 0 no-query originserver\nhttp_access allow all\npid_filename none\ncache_log ${it.place}/cache.log\naccess_log none\ncoredump_dir ${it.place}\nshutdown_lifetime 0 seconds\n`,
    command: (it) => ['squid', '-N', '-f', it.file],
  },
  {
    name: 'Apache mod_cache',
    version: () => first('apache2', '-v'),
    file: (it, { host, port }) => `${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so\n`).join('')}User www-data\nServerName carillon\nPidFile ${it.place}/pid\nErrorLog ${it.place}/error\nListen 127.0.0.1:${it.port}\nCacheRoot ${it.place}\nCacheEnable disk /\nProxyPass / http://${host}:${port}/\n`,
    command: (it) => ['apache2', '-d', it.place, '-f', it.file, '-DFOREGROUND'],
  },
]

/** A stream without chunks. */
async function unchunked() {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\ndata: first\n\n')
      setTimeout(() => socket.write('data: second\n\n'), SECOND)
    })
  })
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  return { server, host: '127.0.0.1', port: server.address().port }
}

async function start(kind, to) {
  const it = { port: await free() }
  it.place = `${need('CARILLON_WORK')}/cache-${it.port}`
  mkdirSync(it.place, { mode: 0o777 })
  it.file = `${it.place}/config`
  writeFileSync(it.file, kind.file(it, to))
  execFileSync('chmod', ['777', it.place])
  const [program, ...words] = kind.command(it)
  const log = openSync(`${it.place}/log`, 'a')
  it.child = spawn(program, words, { stdio: ['ignore', log, log], env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } })
  it.child.on('exit', () => { it.gone = true })
  await until(20_000, `${kind.name} serves`, async () => {
    if (it.gone) throw new Error(`${kind.name} ended: ${readFileSync(`${it.place}/log`, 'utf8').slice(-500)}`)
    return fetch(`http://127.0.0.1:${it.port}/v1/poll`).then(async (answer) => { await answer.body?.cancel(); return answer.status < 500 }, () => false)
  })
  return it
}

/** Milliseconds until the first message has come. */
async function message(port) {
  const begun = Date.now()
  const request = http.get({ host: '127.0.0.1', port, path: '/v1/sse', headers: { authorization: `Bearer ${stack.token}` }, agent: false })
  request.on('error', () => {})
  try {
    await within(30_000, 'the first message', new Promise((done) => request.on('response', (answer) => answer.once('data', done).on('error', () => {}))))
    return Date.now() - begun
  } finally {
    request.destroy()
  }
}

/** What the table says of one cache; throws when a gateway's stream does not come through at once. */
export async function tryCache(kind, gateway) {
  const theirs = await unchunked()
  const running = []
  try {
    for (const to of [gateway, theirs]) running.push(await start(kind, to))
    const [ours, without] = [await message(running[0].port), await message(running[1].port)]
    if (ours > AT_ONCE) throw new Error(`the welcome came after ${ours} ms`)
    return { version: kind.version(), ours: 'at once', without: without > AT_ONCE ? 'with the second message' : 'at once' }
  } finally {
    for (const { child } of running) child.kill('SIGTERM')
    theirs.server.close()
    setTimeout(() => running.forEach(({ child }) => child.kill('SIGKILL')), 2_000).unref()
  }
}
