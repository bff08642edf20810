// Which clients are there, how is each started, and what is known of it?
//
// `version` says where the version is found; `recovers`: the library has connection state recovery; `unordered`: it calls handlers in any order, as the
// table tells; `known` are checks that do not hold, with the
// reason that the table gives. A check that holds though it is known not to is a failure, too.

const root = process.env.CARILLON_SOCKETIO
const build = process.env.CARILLON_SOCKETIO_BUILD

const node = (version, extra = {}) => ({ language: 'JavaScript', name: `socket.io-client ${version}`, version: { npm: `socket.io-client-${version}` }, command: ['node', `${root}/node/pipe.mjs`, `socket.io-client-${version}`], ...extra })
const python = (way, extra = {}) => ({ language: 'Python', name: `python-socketio (${way})`, version: { pip: 'python-socketio' }, command: [`${build}/python/bin/python`, `${root}/python/pipe.py`, way], ...extra })
const rust = (name, extra = {}) => ({ language: 'Rust', name, version: { crate: name }, command: [`${build}/rust/debug/${name.replace('_', '-')}`], ...extra })
const other = (name, program) => ({ ...node('4.8', { recovers: true }), name: `socket.io-client 4.8 in ${name}`, command: [...program, `${root}/node/pipe.mjs`, 'socket.io-client-4.8'] })

export const clients = [
  node('4.8', { recovers: true }),
  node('4.6', { recovers: true }),
  node('4.0'),
  node('3'),
  other('Deno', [`${root}/node/node_modules/@deno/linux-x64-glibc/deno`, 'run', '--allow-all']),
  other('Bun', [`${root}/node/node_modules/@oven/bun-linux-x64/bin/bun`]),
  python('asyncio'),
  python('threads', { unordered: 'all, once; order by `seq`: each handler runs in a thread of its own ([try it](../findings/python-socketio-threads-order.sh))' }),
  { language: 'Java', name: 'io.socket:socket.io-client', version: { maven: 'client' }, textsOnly: true, command: ['java', '-XX:TieredStopAtLevel=1', '-cp', process.env.CARILLON_SOCKETIO_CLASSPATH, 'SocketIoPipe'] },
  { language: 'Go', name: 'zishang520/socket.io/clients', version: { go: 'github.com/zishang520/socket.io/clients/socket/v3' }, recovers: true, known: { polling: 'what it emits waits until the poll before it is answered, up to 25 s ([try it](../findings/socketio-go-polling-waits.sh))' }, command: [`${build}/go/pipe`] },
  rust('rust_socketio'),
  rust('tf-rust-socketio', { unordered: 'all, once; order by `seq`: each handler runs in a task of its own' }),
]
