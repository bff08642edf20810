// Which clients are there, how is each started, and what is known of it? `clients` are those of WebSockets, `streams` those of event streams.
//
// `version` says where the version is found; `large` is the setting for messages above the library's default, `quiet` the one for streams without events; `known` are
// checks that do not hold, with the reason that the table gives. A check that holds though it is known not to is a failure, too.

const root = process.env.CARILLON_CLIENTS
const build = process.env.CARILLON_CLIENTS_BUILD

const node = (name, file, extra = {}) => ({ language: 'JavaScript', name, version: { npm: name }, command: ['node', `${root}/node/${file}.mjs`], ...extra })
const python = (name, file, extra = {}) => ({ language: 'Python', name, version: { pip: name }, command: [`${build}/python/bin/python`, `${root}/python/${file}.py`], ...extra })
const go = (name, file, extra = {}) => ({ language: 'Go', name, version: { go: name }, command: [`${build}/go/${file}`], ...extra })
const java = (name, type, artifact, extra = {}) => ({ language: 'Java', name, version: { maven: artifact }, command: ['java', '-XX:TieredStopAtLevel=1', '-cp', `@CLASSPATH`, type], ...extra })
const rust = (name, extra = {}) => ({ language: 'Rust', name, version: { crate: name }, command: [`${build}/rust/debug/${name}`], ...extra })
const debian = (language, name, apt, command, extra = {}) => ({ language, name, version: { apt }, command, ...extra })

const BROWSERS = {
  Chromium: { apt: 'chromium', start: ['chromium', '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--user-data-dir=FOLDER', 'PAGE'] },
  'Firefox ESR': { apt: 'firefox-esr', start: ['firefox-esr', '--headless', '--no-remote', '--profile', 'FOLDER', 'PAGE'] },
  WebKitGTK: { apt: 'libwebkit2gtk-4.1-0', start: ['xvfb-run', '-a', 'dbus-run-session', '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser', 'PAGE'] },
}
const browser = (name, file, extra) => debian('browser', name, BROWSERS[name].apt, ['node', `${root}/browser/${file}.mjs`, ...BROWSERS[name].start], extra)

const page = { header: false }
/** A frame that comes together with the answer to the handshake is lost: only who sends the token in the first frame gets a welcome. */
const lost = 'the welcome is lost'
const loses = { header: lost, protocol: lost, query: lost, order: lost, large: lost, drain: lost }

export const clients = [
  node('ws', 'ws'),
  node('undici', 'undici'),
  node('websocket', 'websocket-node', { large: '`maxReceivedFrameSize`' }),
  node('faye-websocket', 'faye-websocket', { known: { drain: '`goaway`, then 1002' } }),
  node('nodejs-websocket', 'nodejs-websocket'),
  node('partysocket', 'partysocket', page),
  node('reconnecting-websocket', 'reconnecting-websocket', page),
  node('rxjs', 'rxjs', page),
  { ...node('Deno', 'global'), version: { npm: 'deno' }, command: [`${root}/node/node_modules/@deno/linux-x64-glibc/deno`, 'run', '--allow-all', `${root}/node/global.mjs`] },
  { ...node('Bun', 'global'), version: { npm: 'bun' }, command: [`${root}/node/node_modules/@oven/bun-linux-x64/bin/bun`, `${root}/node/global.mjs`] },
  python('websockets', 'websockets_asyncio', { name: 'websockets (asyncio)' }),
  python('websockets', 'websockets_sync', { name: 'websockets (threads)' }),
  python('websocket-client', 'websocket_client'),
  python('aiohttp', 'aiohttp_client'),
  python('httpx-ws', 'httpx_ws_client', { large: '`max_message_size_bytes`' }),
  python('trio-websocket', 'trio_websocket_client'),
  python('picows', 'picows_client'),
  python('tornado', 'tornado_client'),
  python('autobahn', 'autobahn_client'),
  python('niquests', 'niquests_client', { known: { close: 'no code reaches the program', drain: '`goaway`, no code' } }),
  python('curl_cffi', 'curl_cffi_client'),
  python('lomond', 'lomond_client'),
  python('simple-websocket', 'simple_websocket_client', { known: loses }),
  python('ws4py', 'ws4py_client', { known: { protocol: 'no', drain: '`goaway`, then 1005' } }),
  python('PyQt6', 'qt6_client', { language: 'C++', name: 'Qt 6 (through PyQt6)', known: { drain: '`goaway`, then 1002' } }),
  go('github.com/gorilla/websocket', 'gorilla'),
  go('github.com/coder/websocket', 'coder', { large: '`SetReadLimit`' }),
  go('github.com/gobwas/ws', 'gobwas', { known: { drain: '`goaway`, then an error: "status code is not defined in spec"' } }),
  go('github.com/lxzan/gws', 'gws'),
  go('github.com/fasthttp/websocket', 'fasthttp'),
  go('github.com/lesismal/nbio', 'nbio', { known: { drain: '`goaway`, then 1006' } }),
  go('golang.org/x/net', 'xnet', { name: 'golang.org/x/net/websocket', known: { close: 'no code reaches the program', drain: '`goaway`, no code' } }),
  java('java.net.http', 'JdkPipe', null, { version: { text: 'JDK' } }),
  java('OkHttp', 'OkHttpPipe', 'okhttp-jvm'),
  java('Java-WebSocket', 'JavaWebSocketPipe', 'Java-WebSocket'),
  java('Jetty', 'JettyPipe', 'jetty-websocket-jetty-client', { large: '`setMaxTextMessageSize`' }),
  java('Netty', 'NettyPipe', 'netty-codec-http', { large: '`maxFramePayloadLength`' }),
  java('Tyrus', 'TyrusPipe', 'tyrus-standalone-client'),
  java('nv-websocket-client', 'NvPipe', 'nv-websocket-client'),
  java('Vert.x', 'VertxPipe', 'vertx-core', { large: '`setMaxFrameSize`', known: { compression: 'with `setCompressionAllowClientNoContext(true)`; without, it refuses what it did not offer' } }),
  java('Reactor Netty', 'ReactorNettyPipe', 'reactor-netty-http', { large: '`maxFramePayloadLength`' }),
  java('async-http-client', 'AsyncHttpClientPipe', 'async-http-client', { large: '`setWebSocketMaxFrameSize`' }),
  java('Ktor (CIO)', 'KtorPipeKt', 'ktor-client-cio-jvm', { language: 'Kotlin' }),
  rust('tokio-tungstenite'),
  rust('tokio-websockets'),
  rust('fastwebsockets'),
  rust('reqwest-websocket'),
  rust('soketto', { known: { compression: 'no: "incomplete deflate stream"' } }),
  debian('C', 'libsoup', 'libsoup-3.0-0', [`${build}/debian/soup`], { large: '`max_incoming_payload_size`' }),
  debian('C', 'libwebsockets', 'libwebsockets17', [`${build}/debian/lws`], { known: { compression: 'no: it stops at an uncompressed message after a compressed one', drain: '`goaway`, then 1002' } }),
  debian('C++', 'Boost.Beast', 'libboost1.74-dev', [`${build}/debian/beast`]),
  debian('C++', 'websocketpp', 'libwebsocketpp-dev', [`${build}/debian/websocketpp`]),
  debian('C++', 'Poco', 'libpoco-dev', [`${build}/debian/poco`]),
  debian('C#', 'Mono, ClientWebSocket', 'mono-runtime', ['mono', `${build}/debian/mono.exe`], { known: { drain: '`goaway`, then an error without a code' } }),
  debian('Haskell', 'websockets', 'libghc-websockets-dev', [`${build}/debian/haskell`]),
  debian('Perl', 'Mojolicious', 'libmojolicious-perl', ['perl', `${root}/debian/mojolicious.pl`]),
  debian('Perl', 'AnyEvent::WebSocket::Client', 'libanyevent-websocket-client-perl', ['perl', `${root}/debian/anyevent.pl`], { large: '`max_payload_size`' }),
  debian('Ruby', 'faye-websocket', 'ruby-faye-websocket', ['ruby', `${root}/debian/faye.rb`], { known: { drain: '`goaway`, then 1002' } }),
  debian('Tcl', 'tcllib', 'tcllib', ['tclsh', `${root}/debian/tcllib.tcl`]),
  browser('Chromium', 'browser', page),
  browser('Firefox ESR', 'browser', page),
  browser('WebKitGTK', 'browser', { ...page, known: { drain: '`goaway`, then 1006' } }),
]

const nodeStream = (name, which, extra = {}) => ({ ...node(name, 'streams'), command: ['node', `${root}/node/streams.mjs`, which], ...extra })
const pythonStream = (name, which, extra = {}) => ({ ...python(name, 'streams'), command: [`${build}/python/bin/python`, `${root}/python/streams.py`, which], ...extra })
const goStream = (name, which, extra = {}) => ({ ...go(name, 'streams'), command: [`${build}/go/streams`, which], ...extra })
const javaStream = (name, which, artifact, extra = {}) => ({ ...java(name, 'StreamPipe', artifact), command: ['java', '-XX:TieredStopAtLevel=1', '-cp', '@CLASSPATH', 'StreamPipe', which], ...extra })
const eventsource = (major) => nodeStream(`eventsource ${major}`, `eventsource-${major}`, { version: { npm: `eventsource-${major}` } })

export const streams = [
  eventsource(2),
  eventsource(3),
  eventsource(4),
  eventsource(5),
  nodeStream('eventsource-client', 'eventsource-client'),
  nodeStream('event-source-polyfill', 'event-source-polyfill'),
  nodeStream('@microsoft/fetch-event-source', 'fetch-event-source'),
  nodeStream('launchdarkly-eventsource', 'launchdarkly-eventsource', { quiet: '`readTimeoutMillis`' }),
  nodeStream('undici', 'undici', page),
  nodeStream('Deno', 'global', { ...page, version: { npm: 'deno' }, command: [`${root}/node/node_modules/@deno/linux-x64-glibc/deno`, 'run', '--allow-all', `${root}/node/streams.mjs`, 'global'] }),
  pythonStream('httpx-sse', 'httpx_sse', { quiet: '`timeout=None`' }),
  pythonStream('sseclient-py', 'sseclient_py'),
  pythonStream('sseclient', 'sseclient', { version: { folder: 'sseclient' }, env: { PYTHONPATH: `${build}/python-sseclient` }, known: { large: 'a part of it: it reads the sizes of chunks as lines, and an event in two chunks is cut there ([try it](../findings/sseclient-reads-chunk-sizes.sh))' } }),
  pythonStream('requests-sse', 'requests_sse'),
  pythonStream('launchdarkly-eventsource', 'launchdarkly'),
  pythonStream('launchdarkly-eventsource', 'launchdarkly', { name: 'launchdarkly-eventsource (`always_continue`)', env: { SSE_CONTINUE: '1' } }),
  goStream('github.com/r3labs/sse/v2', 'r3labs', { large: '`ClientMaxBufferSize`' }),
  goStream('github.com/tmaxmax/go-sse', 'tmaxmax', { large: '`Buffer`' }),
  goStream('github.com/launchdarkly/eventsource', 'launchdarkly'),
  javaStream('OkHttp', 'okhttp', 'okhttp-sse', { quiet: '`readTimeout`' }),
  javaStream('okhttp-eventsource (LaunchDarkly)', 'launchdarkly', 'okhttp-eventsource', { quiet: '`readTimeout`' }),
  rust('reqwest-eventsource'),
  rust('eventsource-client'),
  browser('Chromium', 'streams', page),
  browser('Firefox ESR', 'streams', page),
  browser('WebKitGTK', 'streams', page),
].map((client, place) => ({ ...client, key: `stream-${place}` }))
