// How does docs/GENERATORS.md look?
import { readFileSync } from 'node:fs'

const folder = new URL('.', import.meta.url)
const read = (name) => readFileSync(new URL(name, folder), 'utf8')
const npm = JSON.parse(read('package.json')).dependencies
const pip = Object.fromEntries(read('requirements.txt').trim().split('\n').map((line) => line.split('==')))
const crate = (name) => new RegExp(`name = "${name}"\nversion = "([^"]+)"`).exec(read('progenitor/Cargo.lock'))[1]
const go = /oapi-codegen@v(\S+)/.exec(read('run.sh'))[1]
const generator = pip['openapi-generator-cli']

const GENERATORS = [
  ['openapi-typescript', 'TypeScript', `${npm['openapi-typescript']}, openapi-fetch ${npm['openapi-fetch']}`, 'a CloudEvent needs `headers: {"Content-Type": "application/cloudevents+json"}` or goes as `application/json`, which its path takes, too'],
  ['orval', 'TypeScript', npm.orval, '`client: "fetch"`; `baseUrl` is written into what it makes'],
  ['hey-api', 'TypeScript', npm['@hey-api/openapi-ts'], '`auth` is asked for each scheme: answer the one of type `http`'],
  ['openapi-generator: typescript-fetch', 'TypeScript', generator, '–'],
  ['openapi-generator: python', 'Python', generator, '`Configuration(access_token=…)`'],
  ['openapi-python-client', 'Python', pip['openapi-python-client'], '`AuthenticatedClient`'],
  ['openapi-generator: java', 'Java', generator, '`setBearerToken`; `useSingleRequestParameter=true`: else each operation takes all its parameters by place, and one more in a later release breaks every call'],
  ['oapi-codegen', 'Go', go, 'a `RequestEditorFn` that sets `Authorization`'],
  ['progenitor', 'Rust', crate('progenitor'), `reads OpenAPI 3.0 only (\`openapi-down-convert\` ${npm['@apiture/openapi-down-convert']} makes it of ours), no other JSON than \`application/json\`, which the CloudEvents' paths take, too, and one shape of refusals: [what is changed for it](../loadtest/generators/progenitor.mjs)`],
]
const JUDGES = [
  ['redocly lint', npm['@redocly/cli'], 'its recommended rules but `no-ambiguous-paths`, which takes `/v1/inbox/follows/{channel}` for `/v1/inbox/{seq}/read`, although `seq` is a number'],
  ['spectral', npm['@stoplight/spectral-cli'], '`spectral:oas`, down to hints'],
  ['schemathesis', pip.schemathesis, 'no request that the document allows is refused, no answer is undocumented: with an API key, and at inboxes with a user\'s token. What no schema can say, [it does not choose](../loadtest/generators/hooks.py): null for a member that may be left out (here it counts as not given); cursors, and `from_seq` past the log; keys and ids that come twice; nobody as tenant, audience, user, device or connection; times that are over or in the wrong order, and quiet hours that end when they begin; time zones that there are not; braces, a star and `self` in a channel rule; URLs that an installation may forbid; `rotate_authorize_secret` without a URL; `schema` of an event type, and braces in its texts; notices without a title. [Not judged](../loadtest/generators/schemathesis.toml) are headers of binary CloudEvents that break their pattern, `Allow` at `/v1/channel-rules/test`, and a refusal of `/v1/event-types/{type}/preview` for want of a template (422); chains of requests (its stateful phase) are not run'],
  ['@asyncapi/parser', npm['@asyncapi/parser'], '`/asyncapi.json`, without a diagnostic'],
]

const results = new Map()
for (const line of readFileSync(process.argv[2], 'utf8').trim().split('\n')) {
  const [name, told] = line.split('\t')
  const [, held, step] = /^(ok|FAIL) ?([^:]*)/.exec(told)
  results.set(`${name}: ${step}`, held === 'ok' ? 'yes' : 'no')
}
const cell = (name, step) => results.get(`${name}: ${step}`) ?? 'no'
const verdict = (name) => ([...results].some(([key, held]) => key.startsWith(`${name}: `) && held === 'no') ? 'no' : 'yes')

console.log(`# Generators

Written by \`make generators\` (loadtest/generators): each generator reads [\`/openapi.json\`](PROTOCOL.md#45-get-openapijson--get-asyncapijson--get-docs--get-) of a running publisher; what it makes is compiled and
run against it.

| generator | language | version | publish | batch | CloudEvent | binary mode | list | what it needs |
|---|---|---|---|---|---|---|---|---|`)
for (const [name, language, version, needs] of GENERATORS) {
  console.log(`| ${name} | ${language} | ${version} | ${['publish', 'batch', 'CloudEvent', 'binary', 'list'].map((step) => cell(name, step)).join(' | ')} | ${needs} |`)
}
console.log(`
The document is OpenAPI 3.1: of 3.2, which can describe event streams, the generators above know nothing yet; the event stream is described in [\`/asyncapi.json\`](PROTOCOL.md#45-get-openapijson--get-asyncapijson--get-docs--get-). Each operation has one media type and one answer, because most generators take the first of several
(orval then names none at all, and the request is refused). What holds between fields stands under \`if\` and \`then\`: validators obey them, generators pass over them. Defaults, and that
a CloudEvent's lists may be texts, stand in words: openapi-typescript makes a field that has a default mandatory, and a field of two types is more than openapi-generator and oapi-codegen can do.

| judge | version | what | clean |
|---|---|---|---|`)
for (const [name, version, what] of JUDGES) console.log(`| ${name} | ${version} | ${what} | ${verdict(name)} |`)
