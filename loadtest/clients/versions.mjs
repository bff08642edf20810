// Which version of each client is this?

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const root = process.env.CARILLON_CLIENTS
const build = process.env.CARILLON_CLIENTS_BUILD
const run = (program, ...rest) => execFileSync(program, rest, { encoding: 'utf8' }).trim()

/** By client. */
export async function versions(clients) {
  const read = {
    npm: (name) => JSON.parse(readFileSync(`${root}/node/node_modules/${name}/package.json`)).version,
    pip: (name) => run(`${build}/python/bin/python`, '-c', `import importlib.metadata as m; print(m.version(${JSON.stringify(name)}))`),
    folder: (name) => /^Version: (.*)$/m.exec(run('sh', '-c', `cat ${build}/python-${name}/${name}-*.dist-info/METADATA`))[1],
    go: (name) => new RegExp(`${name} (v\\S+)`).exec(readFileSync(`${root}/go/go.mod`, 'utf8'))[1],
    maven: (name) => new RegExp(`<artifactId>${name}</artifactId><version>([^<]+)`).exec(readFileSync(`${root}/java/pom.xml`, 'utf8'))[1],
    crate: (name) => new RegExp(`name = "${name}"\nversion = "([^"]+)"`).exec(readFileSync(`${root}/rust/Cargo.lock`, 'utf8'))[1],
    apt: (name) => run('dpkg-query', '-W', '-f', '${Version}', name).replace(/^\d+:/, '').replace(/[-+~].*$/, ''),
    text: () => /version "([^"]+)"/.exec(execFileSync('java', ['-version'], { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] }) || run('sh', '-c', 'java -version 2>&1'))[1],
  }
  return new Map(clients.map((client) => {
    const [[kind, name]] = Object.entries(client.version)
    return [client, read[kind](name)]
  }))
}
