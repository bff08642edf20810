// What do the packages offer, as their types say? Writes pages for each into target/api, and fails when something that is exported has no words.
//
// `node api.mjs` (part of `npm run check`).

import { fileURLToPath } from 'node:url'
import { Application, ReflectionKind } from 'typedoc'

const root = fileURLToPath(new URL('./', import.meta.url))
/** Members are told by their names and types; what stands alone is told in words. */
const KINDS = ['Class', 'Interface', 'Function', 'TypeAlias', 'Variable', 'Enum']
let failed = false

for (const name of ['client', 'react', 'ui', 'server']) {
  const app = await Application.bootstrap({
    entryPoints: [`${root}${name}/src/index.ts`],
    tsconfig: `${root}${name}/tsconfig.json`,
    basePath: root,
    name: `@carillon/${name}`,
    readme: 'none',
    excludePrivate: true,
    excludeExternals: true,
    disableSources: true,
    hideGenerator: true,
    logLevel: 'Error',
  })
  const project = await app.convert()
  if (!project) throw new Error(`${name}: its types could not be read`)
  const exported = project
    .getReflectionsByKind(ReflectionKind.All)
    .filter((one) => one.parent === project || one.parent?.kind === ReflectionKind.Module)
  const bare = exported.filter(
    (one) =>
      KINDS.includes(ReflectionKind[one.kind]) &&
      !one.hasComment() &&
      !one.signatures?.some((signature) => signature.hasComment()),
  )
  for (const one of bare) console.error(`api: ${name}: ${one.name} (${ReflectionKind[one.kind]}) has no words`)
  failed ||= bare.length > 0 || exported.length === 0
  await app.generateDocs(project, `${root}../target/api/${name}`)
  console.log(`api: @carillon/${name}: ${exported.length} exports in target/api/${name}/index.html`)
}
process.exit(failed ? 1 : 0)
