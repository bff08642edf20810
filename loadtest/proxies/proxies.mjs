// How does a file of deploy/ become a proxy on this machine, and how is it started and told to read its file again?
//
// The marked blocks (`# --- gateways` to `# ---`) get this machine's addresses, and nothing else is changed.

import { execFileSync, spawn } from 'node:child_process'
import { cpSync, closeSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'

import { until } from '../interop/checks.mjs'
import { need } from '../interop/stack.mjs'
import { free } from './services.mjs'

const root = need('CARILLON_ROOT')
const build = need('CARILLON_PROXIES_BUILD')
const run = (program, ...words) => execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
/** The first thing in a text that looks like a version. */
const first = (text) => /\d+\.\d+(\.\d+)?/.exec(text)[0]

/** The text with other lines between `# --- mark` and `# ---`. */
export function withBlock(text, mark, lines) {
  const out = []
  let inside = false
  let found = 0
  for (const line of text.split('\n')) {
    if (inside && line.trim() === '# ---') inside = false
    if (!inside) out.push(line)
    if (new RegExp(`^\\s*# --- ${mark}(:.*)?$`).test(line)) {
      found += 1
      inside = true
      const indent = /^\s*/.exec(line)[0]
      out.push(...lines.map((it) => indent + it))
    }
  }
  if (found !== 1 || inside) throw new Error(`the block ${mark} is there ${found} times`)
  return out.join('\n')
}

const envoy = () => run(`${root}/deploy/envoy/fetch.sh`).trim()
const haproxyLine = ({ name, address, ops }) => `server ${name} ${address} check port ${ops}`
const nginxLine = ({ address }) => `server ${address} max_fails=10 fail_timeout=1s;`
const envoyLines = ({ host, port, ops }) => [
  '- endpoint:',
  `    address: { socket_address: { address: ${host}, port_value: ${port} } }`,
  `    health_check_config: { port_value: ${ops} }`,
]

const haproxy = (name, program) => ({
  name,
  main: 'haproxy.cfg',
  room: ['`maxconn`: what the descriptors allow; for a server no limit', '`CARILLON_LB_MAXCONN` 200,000 (set it to what the descriptors allow: it does not start otherwise) and `CARILLON_GATEWAY_MAXCONN` 20,000 for each gateway'],
  needs: '`tune.bufsize` (its default of 16 KiB bounds the head), `timeout tunnel`, `retry-on … 503`, `http-error` and `http-after-response` for what it says itself ([a line break of a variable becomes %0A](../findings/haproxy-newline-of-a-variable.sh)), `h2-workaround-bogus-websocket-clients`',
  folder: 'haproxy',
  version: () => first(run(program, '-v')),
  files: { 'haproxy.cfg': { gateways: (it) => it.gateways.map(haproxyLine), publishers: (it) => it.publishers.map(haproxyLine), 'publishers alive': (it) => it.publishers.map(haproxyLine) } },
  environment: (it) => ({ CARILLON_LB_BIND: it.listen, CARILLON_LB_OPS: `127.0.0.1:${it.ops}`, CARILLON_LB_ADMIN: `${it.place}/admin.sock`, CARILLON_LB_MAXCONN: '8000', ...(it.before && { CARILLON_LB_TRUSTED: it.before.join(' ') }) }),
  behind: (it, before) => { it.before = before },
  command: () => [program, '-W', '-db', '-f', 'haproxy.cfg'],
  reload: (it) => it.signal('SIGUSR2'),
})

/** Each proxy: its folder and files in deploy/, what stands in their blocks, how it runs, and how it reloads. */
export const proxies = [
  haproxy('HAProxy', 'haproxy'),
  // Of the Debian after this one, and of the next.
  { ...haproxy('HAProxy 3.0', `${build}/haproxy-trixie/haproxy`), as: 'HAProxy' },
  { ...haproxy('HAProxy 3.2', `${build}/haproxy-sid/haproxy`), as: 'HAProxy' },
  {
    name: 'nginx',
    main: 'nginx.conf',
    room: ['`worker_connections` 512 for each worker (768 in Debian\'s file), and a socket takes two: of 2,200 came in 283 on two cores, the next were cut', '`worker_connections 65535`, `worker_rlimit_nofile 1048576`, `max_conns=20000` for each gateway'],
    needs: '`proxy_buffering off`, `large_client_header_buffers` (8 KiB), `proxy_read_timeout` (60 s), `proxy_next_upstream http_503`, `worker_shutdown_timeout`, `error_page`',
    folder: 'nginx',
    // On a port of its own: nginx 1.22 tells HTTP/2 from HTTP/1.1 by ALPN alone, and knows no WebSocket in it.
    h2: false,
    version: () => first(execFileSync('sh', ['-c', 'nginx -v 2>&1'], { encoding: 'utf8' })),
    files: {
      'nginx.conf': {
        gateways: (it) => it.gateways.map(nginxLine),
        publishers: (it) => it.publishers.map(nginxLine),
        listen: (it) => [`listen ${it.listen} backlog=4096;`],
        ops: (it) => [`listen 127.0.0.1:${it.ops};`],
      },
    },
    command: (it) => ['nginx', '-p', `${it.place}/`, '-c', `${it.place}/nginx.conf`, '-g', 'daemon off;'],
    behind: (it, before) => it.edit('nginx.conf', (text) => text.replace('http {', ['http {', ...before.map((each) => `set_real_ip_from ${each};`), 'real_ip_header X-Forwarded-For;', 'real_ip_recursive on;'].join('\n'))),
    reload: (it) => it.signal('SIGHUP'),
  },
  {
    name: 'Envoy',
    main: 'envoy.yaml',
    room: ['circuit breakers: 1,024 connections of a cluster; the next wait without a word', 'circuit breakers 200,000 for gateways, 10,000 for publishers'],
    needs: '`upgrade_configs`, `timeout: 0s` (15 s), `stream_idle_timeout`, `max_request_headers_kb` (60), circuit breakers (1,024 sockets), `no_traffic_interval` (readiness is looked at once in 60 s before the first request), `healthy_panic_threshold` (below half of the hosts ready all are asked), `local_reply_config`. Reload is a hot restart, with `--parent-shutdown-time-s`',
    folder: 'envoy',
    version: () => first(run(envoy(), '--version').split('/').at(-4)),
    files: {
      'envoy.yaml': {
        ops: (it) => [`socket_address: { address: 127.0.0.1, port_value: ${it.ops} }`],
        listen: (it) => [`socket_address: { address: 127.0.0.1, port_value: ${it.port} }`],
        gateways: (it) => it.gateways.flatMap(envoyLines),
        publishers: (it) => it.publishers.flatMap(envoyLines),
      },
    },
    epoch: 0,
    behind: (it, before) => it.edit('envoy.yaml', (text) => text.replace('xff_num_trusted_hops: 0', `xff_num_trusted_hops: ${before.length}`)),
    command: (it) => [envoy(), '-c', 'envoy.yaml', '--base-id', String(it.port), '--drain-time-s', '60', '--parent-shutdown-time-s', '120', '--restart-epoch', String(it.epoch ?? 0), '--concurrency', '2', '--log-level', 'warning'],
    // A new process takes the listener over from the old one.
    reload: async (it) => {
      it.epoch = (it.epoch ?? 0) + 1
      it.spawn()
      await new Promise((done) => setTimeout(done, 1_500))
    },
  },
  {
    name: 'Caddy',
    main: 'Caddyfile',
    room: ['none', '`unhealthy_request_count 20000`: so many for each gateway'],
    needs: '`stream_close_delay` (without it every socket is cut with 1001 at each reload that changes anything: [try it](../findings/caddy-reload-closes-sockets.sh)), `max_header_size` (16 KiB), `lb_retry_match`, `lb_policy round_robin` (least_conn tries the same server again), `handle_errors`',
    folder: 'caddy',
    h2: (it) => it.edit('Caddyfile', (text) => text.replace('max_header_size', 'protocols h1 h2c\n\t\tmax_header_size')),
    version: () => first(run(`${build}/bin/caddy`, 'version')),
    files: {
      Caddyfile: {
        admin: (it) => [`admin localhost:${it.ops}`],
        listen: (it) => [`:${it.port} {`, '\tbind 127.0.0.1'],
        gateways: (it) => [`to ${it.gateways.map(({ address }) => address).join(' ')}`, `health_port ${it.gateways[0].ops}`],
        publishers: (it) => [`to ${it.publishers.map(({ address }) => address).join(' ')}`, `health_port ${it.publishers[0].ops}`],
      },
    },
    environment: (it) => ({ HOME: it.place, XDG_DATA_HOME: it.place, XDG_CONFIG_HOME: it.place }),
    command: () => [`${build}/bin/caddy`, 'run', '--config', 'Caddyfile'],
    behind: (it, before) => it.edit('Caddyfile', (text) => text.replace('servers {', `servers {\n\t\ttrusted_proxies static ${before.join(' ')}`)),
    reload: (it) => {
      // One that changes nothing is passed over.
      it.edit('Caddyfile', (text) => text.replace('idle 60s', 'idle 61s'))
      execFileSync(`${build}/bin/caddy`, ['reload', '--config', 'Caddyfile', '--address', `localhost:${it.ops}`], { cwd: it.place, stdio: 'ignore' })
    },
  },
  {
    name: 'Traefik',
    main: 'carillon.yml',
    room: ['none', 'none'],
    needs: '`priority` (rules of one length are [tried in any order](../findings/traefik-rules-of-one-length.sh)), `strategy: wrr` with `retry.status`, [no `flushInterval` below 0](../findings/traefik-retry-status-flush.sh) with it, `failover` to a service of its own for what it says itself (a local plugin). Write the file in one piece',
    folder: 'traefik',
    version: () => /traefik\/v3 v(\S+)/.exec(readFileSync(`${root}/loadtest/proxies/traefik/go.mod`, 'utf8'))[1],
    files: {
      'traefik.yml': { listen: (it) => [`address: "${it.listen}"`], nobody: (it) => [`address: "127.0.0.1:${it.ops}"`] },
      'carillon.yml': {
        gateways: (it) => it.gateways.map(({ address }) => `- url: "http://${address}"`),
        publishers: (it) => it.publishers.map(({ address }) => `- url: "http://${address}"`),
        nobody: (it) => [`- url: "http://127.0.0.1:${it.ops}"`],
      },
    },
    edit: (it) => it.edit('carillon.yml', (text) => text.replace('port: 9080', `port: ${it.gateways[0].ops}`).replace('port: 9081', `port: ${it.publishers[0].ops}`)),
    command: () => [`${build}/bin/traefik`, '--configFile=traefik.yml'],
    behind: (it, before) => it.edit('traefik.yml', (text) => text.replace('insecure: false', `trustedIPs: [${before.map((each) => `"${each}"`).join(', ')}]`)),
    reload: async (it) => {
      it.edit('carillon.yml', (text) => text.replace('attempts: 3', 'attempts: 4'))
      await new Promise((done) => setTimeout(done, 1_000))
    },
  },
  {
    name: 'Apache',
    main: 'carillon.conf',
    room: ['`MaxRequestWorkers` 400 (150 in Debian\'s file), one for each socket; more wait without a word', '`MaxRequestWorkers 4000` (16 processes of 250 threads), `ServerLimit 32` for those that end with their sockets after a reload'],
    needs: '`LimitRequestLine` and `LimitRequestFieldSize` (8 KiB), `upgrade=websocket`, `flushpackets=on`, threads (one for each socket), `hcexpr` on the public port, `mod_lua` for what it says itself',
    folder: 'apache',
    repeats: false,
    h2: (it) => it.edit('carillon.conf', (text) => `LoadModule http2_module \${modules}/mod_http2.so\nProtocols h2c http/1.1\n${text}`),
    version: () => first(run('apache2', '-v')),
    files: {
      'carillon.conf': {
        listen: (it) => [`Listen ${it.listen}`],
        gateways: (it) => it.gateways.map(({ address }) => `BalancerMember http://${address} ${it.words.gateways}`),
        publishers: (it) => it.publishers.map(({ address }) => `BalancerMember http://${address} ${it.words.publishers}`),
      },
    },
    // The settings of a line are the file's own.
    words: (it) => Object.fromEntries([...it.text('carillon.conf').matchAll(/BalancerMember http:\/\/(\w+):\d+ (.*)/g)].map(([, name, words]) => [`${name}s`, words])),
    command: (it) => ['apache2', '-d', it.place, '-f', 'httpd.conf', '-DFOREGROUND'],
    // Loaded behind mod_headers, as in Debian.
    behind: (it, before) => {
      it.edit('httpd.conf', (text) => text.replace('Include carillon.conf', 'LoadModule remoteip_module ${modules}/mod_remoteip.so\nInclude carillon.conf'))
      it.edit('carillon.conf', (text) => text.replace('ProxyPreserveHost on', `RemoteIPHeader X-Forwarded-For\n    RemoteIPInternalProxy ${before.join(' ')}\n    ProxyPreserveHost on`))
    },
    reload: (it) => it.signal('SIGUSR1'),
  },
  {
    name: 'lighttpd',
    main: 'lighttpd.conf',
    room: ['`server.max-fds` 4,096 and a third of that as `server.max-connections`: 1,365 came in, more wait without a word', '`server.max-fds 65535`, `server.max-connections 30000`'],
    needs: '`server.stream-response-body` (else a stream is kept until it ends), `server.max-request-field-size` (8 KiB), `proxy.header upgrade`, started by its whole path for `graceful-restart-bg`, HTTP/2 off, `mod_magnet` for what it says itself',
    folder: 'lighttpd',
    repeats: false,
    // Switched off in the file.
    h2: false,
    version: () => first(run('lighttpd', '-v')),
    files: {
      'lighttpd.conf': {
        listen: (it) => ['server.bind = "127.0.0.1"', `server.port = ${it.port}`],
        nobody: (it) => [`magnet.attract-response-start-to = ( "${it.place}/nobody.lua" )`],
        gateways: (it) => it.gateways.map(({ host, port }) => it.words.gateways.replace('"gateway"', `"${host}"`).replace('8080', port)),
        publishers: (it) => it.publishers.map(({ host, port }) => it.words.publishers.replace('"publisher"', `"${host}"`).replace('8081', port)),
      },
    },
    words: (it) => Object.fromEntries([...it.text('lighttpd.conf').matchAll(/^ +(\( "host" => "(\w+)".*)/gm)].map(([, line, name]) => [`${name}s`, line])),
    command: (it) => [run('sh', '-c', 'command -v lighttpd').trim(), '-D', '-f', `${it.place}/lighttpd.conf`],
    behind: (it, before) => it.edit('lighttpd.conf', (text) => [text, ...before.map((each) => `$HTTP["remote-ip"] == "${each}" { setenv.set-request-header = ( "Forwarded" => "" ) }`)].join('\n')),
    reload: (it) => it.signal('SIGUSR1'),
  },
]

/** A running proxy. */
export class Proxy {
  static all = []
  children = []

  constructor(kind, gateways, publishers) {
    Object.assign(this, { kind, gateways, publishers })
    Proxy.all.push(this)
  }

  /** With the shipped file; `change` may alter more of it. */
  static async start(kind, gateways, publishers, change) {
    const proxy = new Proxy(kind, gateways, publishers)
    proxy.port = await free()
    proxy.ops = await free()
    proxy.place = `${need('CARILLON_WORK')}/${kind.folder}-${proxy.port}`
    mkdirSync(proxy.place, { mode: 0o755 })
    cpSync(`${root}/deploy/${kind.folder}`, proxy.place, { recursive: true })
    proxy.words = kind.words?.(proxy)
    for (const [file, blocks] of Object.entries(kind.files)) {
      let text = proxy.text(file)
      for (const [mark, lines] of Object.entries(blocks)) text = withBlock(text, mark, lines(proxy))
      writeFileSync(`${proxy.place}/${file}`, text)
    }
    kind.edit?.(proxy)
    change?.(proxy)
    proxy.spawn()
    // It may listen before it has read where to send anything.
    const serves = (path) => fetch(`http://${proxy.address}${path}`).then(({ status }) => status === 401, () => false)
    await until(20_000, `${kind.name} serves`, async () => {
      if (proxy.children.every(({ gone }) => gone)) throw new Error(`${kind.name} ended: ${proxy.tail()}`)
      return (await serves('/v1/poll')) && serves('/v1/events')
    })
    return proxy
  }

  get address() {
    return `127.0.0.1:${this.port}`
  }

  get listen() {
    return this.address
  }

  spawn() {
    const log = openSync(`${this.place}/log`, 'a')
    const [program, ...words] = this.kind.command(this)
    const child = spawn(program, words, { cwd: this.place, stdio: ['ignore', log, log], env: { ...process.env, ...this.kind.environment?.(this) } })
    child.on('exit', () => { child.gone = true })
    child.on('error', () => { child.gone = true })
    closeSync(log)
    this.children.push(child)
  }

  text(file) {
    return readFileSync(`${this.place}/${file}`, 'utf8')
  }

  edit(file, change) {
    const text = this.text(file)
    const other = change(text)
    if (other === text) throw new Error(`nothing was changed in ${file}`)
    // In one piece: who watches the file must not see half of it.
    writeFileSync(`${this.place}/${file}.new`, other)
    renameSync(`${this.place}/${file}.new`, `${this.place}/${file}`)
  }

  signal(name) {
    this.children.at(-1).kill(name)
  }

  reload() {
    return this.kind.reload(this)
  }

  tail() {
    return readFileSync(`${this.place}/log`, 'utf8').slice(-1500)
  }

  async end() {
    for (const child of this.children) child.kill('SIGTERM')
    await until(3_000, 'the end', () => this.children.every(({ gone }) => gone)).catch(() => {})
    for (const child of this.children) child.kill('SIGKILL')
  }
}
