// Has AsyncAPI's own parser anything to say about the document of the sockets?
import { readFileSync } from 'node:fs'
import { Parser } from '@asyncapi/parser'

const { document, diagnostics } = await new Parser().parse(readFileSync('asyncapi.json', 'utf8'))
for (const { severity, code, path, message } of diagnostics) console.log(`${severity} ${code} at ${path.join('/')}: ${message}`)
process.exit(document && diagnostics.length === 0 ? 0 : 1)
