/** Which TypeScript type does the schema of an event type describe? */

/** JSON Schema 2020-12, as the registry takes it; true and false are schemas, too. */
// biome-ignore lint/suspicious/noExplicitAny: keywords are looked at one by one
export type Schema = boolean | { readonly [keyword: string]: any }

const literal = (value: unknown): string =>
  typeof value === 'object' && value !== null
    ? Array.isArray(value)
      ? `[${value.map(literal).join(', ')}]`
      : `{ ${Object.entries(value)
          .map(([name, one]) => `${key(name)}: ${literal(one)}`)
          .join('; ')} }`
    : JSON.stringify(value)

const key = (name: string): string => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name))

const union = (types: string[]): string => [...new Set(types)].join(' | ') || 'never'
const both = (types: string[]): string => {
  const said = [...new Set(types)].filter((type) => type !== 'unknown')
  return said.length > 1 ? said.map((type) => (/ [|&] /.test(type) ? `(${type})` : type)).join(' & ') : (said[0] ?? 'unknown')
}
const list = (item: string): string => (/ [|&] /.test(item) ? `(${item})[]` : `${item}[]`)

/** What the schema lets through, and perhaps more: keywords that no type can say (lengths, patterns) are left out. */
export function typeOf(schema: Schema, root: Schema = schema, indent = ''): string {
  if (typeof schema === 'boolean') return schema ? 'unknown' : 'never'
  const said: string[] = []
  const inner = (one: Schema) => typeOf(one, root, indent)
  if (schema.$ref) {
    const name = /^#\/\$defs\/(.+)$/.exec(schema.$ref)?.[1]
    const found =
      name && typeof root === 'object'
        ? root.$defs?.[decodeURIComponent(name).replace(/~1/g, '/').replace(/~0/g, '~')]
        : undefined
    said.push(found === undefined ? 'unknown' : inner(found))
  }
  if ('const' in schema) said.push(literal(schema.const))
  if (schema.enum) said.push(union(schema.enum.map(literal)))
  for (const several of [schema.anyOf, schema.oneOf]) if (several) said.push(union(several.map(inner)))
  if (schema.allOf) said.push(both(schema.allOf.map(inner)))
  if (schema.type) said.push(union([schema.type].flat().map((type: string) => ofType(type, schema, root, indent))))
  else if (schema.properties || schema.required) said.push(ofType('object', schema, root, indent))
  return both(said)
}

function ofType(type: string, schema: Exclude<Schema, boolean>, root: Schema, indent: string): string {
  if (type === 'integer' || type === 'number') return 'number'
  if (type === 'array') {
    if (schema.prefixItems) {
      // Fewer items than these are let through as well, unless minItems says otherwise.
      const least = schema.minItems ?? 0
      const items = schema.prefixItems.map((one: Schema, at: number) => `${typeOf(one, root, indent)}${at < least ? '' : '?'}`)
      const rest =
        schema.items === false ? [] : [`...${list(schema.items === undefined ? 'unknown' : typeOf(schema.items, root, indent))}`]
      return `[${[...items.map((one: string) => one.replace(/^(.* [|&] .*)\?$/, '($1)?')), ...rest].join(', ')}]`
    }
    return list(schema.items === undefined ? 'unknown' : typeOf(schema.items, root, indent))
  }
  if (type !== 'object') return type
  const required: string[] = schema.required ?? []
  const deeper = `${indent}  `
  const members = Object.entries((schema.properties ?? {}) as Record<string, Schema>).map(([name, one]) => {
    const comment =
      typeof one === 'object' && one.description
        ? `${deeper}/** ${one.description.replace(/\*\//g, '*\u200b/').replace(/\s+/g, ' ')} */\n`
        : ''
    return `${comment}${deeper}${key(name)}${required.includes(name) ? '' : '?'}: ${typeOf(one, root, deeper)}`
  })
  for (const name of required) if (!schema.properties?.[name]) members.push(`${deeper}${key(name)}: unknown`)
  const more = schema.additionalProperties
  if (!members.length)
    return more === false
      ? 'Record<string, never>'
      : `Record<string, ${typeof more === 'object' ? typeOf(more, root, indent) : 'unknown'}>`
  if (more !== false) members.push(`${deeper}[other: string]: unknown`)
  return `{\n${members.join('\n')}\n${indent}}`
}

export interface RegisteredType {
  readonly type: string
  readonly title?: string | null
  readonly schema?: Schema | null
}

/** The interface for `createClient<Events>()`. A type without a schema has `unknown` data. */
export function interfaceOf(types: readonly RegisteredType[], name = 'Events'): string {
  const members = [...types]
    .sort((a, b) => (a.type < b.type ? -1 : 1))
    .map(({ type, title, schema }) => {
      const comment = title ? `  /** ${title.replace(/\*\//g, '*\u200b/').replace(/\s+/g, ' ')} */\n` : ''
      return `${comment}  ${JSON.stringify(type)}: ${schema === null || schema === undefined ? 'unknown' : typeOf(schema, schema, '  ')}`
    })
  return `// Written by \`npx @carillon/client types\` from the event types of an installation. Do not edit.\n\nexport interface ${name} {\n${members.join('\n')}\n}\n`
}
