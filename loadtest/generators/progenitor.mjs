// What of our document, made OpenAPI 3.0 by openapi-down-convert, does progenitor not read?
//
// An object that may be null, which the converter leaves as one of several shapes; JSON of another media type than application/json; and
// a refusal that is something else than the operation's other refusals: health that is down comes with the status 503.

import { readFileSync, writeFileSync } from 'node:fs'

const [file] = process.argv.slice(2)
const document = JSON.parse(readFileSync(file, 'utf8'), (_, value) => {
  const shapes = value?.oneOf?.filter(({ type }) => type !== 'null')
  if (!shapes || shapes.length === value.oneOf.length) return value
  const { oneOf, ...rest } = value
  return { ...rest, allOf: shapes, nullable: true }
})
for (const operation of Object.values(document.paths).flatMap(Object.values)) {
  for (const [status, { content }] of Object.entries(operation.responses ?? {})) {
    if (status >= '400' && content?.['application/problem+json']) delete content['application/json']
  }
}
writeFileSync(file, JSON.stringify(document).replaceAll(/application\/cloudevents(-batch)?\+json/g, 'application/json'))
