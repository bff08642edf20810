// Which version of each client is this? By where it comes from.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const root = process.env.CARILLON_SOCKETIO
const build = process.env.CARILLON_SOCKETIO_BUILD
const read = (file) => readFileSync(`${root}/${file}`, 'utf8')

export const versions = {
  npm: (name) => JSON.parse(read(`node/node_modules/${name}/package.json`)).version,
  pip: (name) => execFileSync(`${build}/python/bin/python`, ['-c', `import importlib.metadata as m; print(m.version(${JSON.stringify(name)}))`], { encoding: 'utf8' }).trim(),
  go: (name) => new RegExp(`${name} (v\\S+)`).exec(read('go/go.mod'))[1],
  maven: (name) => new RegExp(`<${name}>([^<]+)`).exec(read('java/pom.xml'))[1],
  crate: (name) => new RegExp(`name = "${name}"\nversion = "([^"]+)"`).exec(read('rust/Cargo.lock'))[1],
}
