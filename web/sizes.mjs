// How large are Carillon's libraries in a page, beside those of others? `node sizes.mjs` prints the table, `--page` writes it into docs/PEERS.md.
//
// Each is bundled the same way, from a program that connects and hears one channel or shows one bell: vite, minified, React outside, gzip -9.
// The others come from npm, with the versions below, into target/sizes. Build first (`make web`).

import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'vite'

const versions = { centrifuge: '5.8.0', ably: '2.28.0', 'socket.io-client': '4.8.4', '@novu/react': '3.19.2' }

const programs = {
  '@carillon/client': `
    import { createClient } from '@carillon/client'
    const client = createClient({ url: 'https://example.com', getToken: () => fetch('/token').then((answer) => answer.text()) })
    client.channel('order:7').on('order.*', console.log)`,
  centrifuge: `
    import { Centrifuge } from 'centrifuge'
    const client = new Centrifuge('wss://example.com/ws', { getToken: () => fetch('/token').then((answer) => answer.text()) })
    client.newSubscription('order:7').on('publication', console.log).subscribe()
    client.connect()`,
  ably: `
    import { Realtime } from 'ably'
    const client = new Realtime({ authUrl: '/token' })
    client.channels.get('order:7').subscribe(console.log)`,
  'socket.io-client': `
    import { io } from 'socket.io-client'
    io('https://example.com', { auth: (done) => fetch('/token').then((answer) => answer.text()).then((token) => done({ token })) })
      .on('order', console.log)`,
  '@carillon/ui, react and client (a bell with its inbox)': `
    import { createElement } from 'react'
    import { createRoot } from 'react-dom/client'
    import { createClient } from '@carillon/client'
    import { CarillonProvider } from '@carillon/react'
    import { Bell } from '@carillon/ui'
    import '@carillon/ui/style.css'
    const client = createClient({ url: 'https://example.com', getToken: () => fetch('/token').then((answer) => answer.text()) })
    createRoot(document.body).render(createElement(CarillonProvider, { client }, createElement(Bell)))`,
  '@novu/react (a bell with its inbox)': `
    import { createElement } from 'react'
    import { createRoot } from 'react-dom/client'
    import { Inbox } from '@novu/react'
    createRoot(document.body).render(createElement(Inbox, { applicationIdentifier: 'app', subscriberId: 'mila' }))`,
}

const folder = fileURLToPath(new URL('../target/sizes/', import.meta.url))
mkdirSync(folder, { recursive: true })
writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies: versions }))
execFileSync('npm', ['install', '--no-audit', '--no-fund', '--legacy-peer-deps', '--loglevel=error'], {
  cwd: folder,
  stdio: 'inherit',
})

const kib = (texts) => texts.reduce((sum, text) => sum + gzipSync(text, { level: 9 }).length, 0) / 1024
const own = (name) => fileURLToPath(new URL(`${name}/dist/`, import.meta.url))

async function measure(program) {
  const entry = join(folder, 'app.js')
  writeFileSync(entry, program)
  const { output } = await build({
    configFile: false,
    logLevel: 'error',
    root: folder,
    define: { 'process.env.NODE_ENV': '"production"' },
    resolve: {
      alias: [
        { find: '@carillon/ui/style.css', replacement: `${own('ui')}style.css` },
        ...['client', 'react', 'ui'].map((name) => ({ find: `@carillon/${name}`, replacement: `${own(name)}index.js` })),
      ],
    },
    build: {
      write: false,
      modulePreload: false,
      minify: true,
      target: 'es2022',
      rolldownOptions: { input: entry, external: [/^react(-dom)?(\/|$)/], onwarn() {} },
    },
  })
  const texts = (wanted) => output.filter(wanted).map((one) => one.code ?? String(one.source))
  // What the first file asks for at once comes with the page, too; what it imports later does not.
  const byName = new Map(output.map((one) => [one.fileName, one]))
  const first = new Set()
  const visit = (one) => {
    if (!one || first.has(one)) return
    first.add(one)
    for (const name of one.imports ?? []) visit(byName.get(name))
  }
  visit(output.find((one) => one.isEntry))
  const isStyle = (one) => one.fileName.endsWith('.css')
  return {
    page: kib(texts((one) => first.has(one) || isStyle(one))),
    later: kib(texts((one) => !first.has(one) && !isStyle(one))),
  }
}

const rows = []
for (const [name, program] of Object.entries(programs)) {
  const { page, later } = await measure(program)
  const version = versions[name.split(' ')[0].replace(',', '')] ?? 'this tree'
  rows.push(`| ${name} | ${version} | ${page.toFixed(1)} | ${later ? later.toFixed(1) : '–'} |`)
}
const table = ['| library | version | with the page, KiB | when it is needed, KiB |', '|---|---|---:|---:|', ...rows].join('\n')
console.log(table)
if (process.argv.includes('--page')) {
  const page = fileURLToPath(new URL('../docs/PEERS.md', import.meta.url))
  const [begin, end] = ['<!-- sizes: written by web/sizes.mjs --page -->', '<!-- end of sizes -->']
  const text = readFileSync(page, 'utf8')
  const [head, rest] = text.split(begin)
  const tail = rest?.split(end)[1]
  if (tail === undefined) throw new Error(`${page} has no place for the sizes`)
  writeFileSync(page, `${head}${begin}\n\n${table}\n\n${end}${tail}`)
}
