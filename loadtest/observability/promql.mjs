// Which series does a PromQL expression ask for?
//
// A reader of tokens, not a parser: Prometheus itself says whether an expression is right. It knows names from keywords,
// functions and the labels in by (…), and keeps what stands in braces and brackets beside a name.

const TOKEN = /\s+|#[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\d[\w.]*|[a-zA-Z_:][\w:]*|[=!]~|[=!<>]=|./gs
const WORDS = new Set(['and', 'or', 'unless', 'bool', 'offset', 'inf', 'nan'])
const LABEL_LISTS = new Set(['by', 'without', 'on', 'ignoring', 'group_left', 'group_right'])

/** The selectors of an expression: { metric, labels: [{name, op, value}], range, text }. */
export function selectors(expr) {
  const tokens = (expr.match(TOKEN) ?? []).filter((token) => !/^(\s|#)/.test(token))
  const found = []
  for (let at = 0; at < tokens.length; at += 1) {
    const token = tokens[at]
    const next = tokens[at + 1]
    if (LABEL_LISTS.has(token) && next === '(') {
      at = tokens.indexOf(')', at)
    } else if (/^[a-zA-Z_:]/.test(token) && !LABEL_LISTS.has(token) && !WORDS.has(token.toLowerCase()) && next !== '(' && !LABEL_LISTS.has(next)) {
      const selector = { metric: token, labels: [], range: '', text: token }
      if (next === '{') {
        const end = tokens.indexOf('}', at)
        selector.labels = matchers(tokens.slice(at + 2, end))
        selector.text += `{${tokens.slice(at + 2, end).join('')}}`
        at = end
      }
      if (tokens[at + 1] === '[') {
        const end = tokens.indexOf(']', at)
        selector.range = tokens.slice(at + 2, end).join('')
        at = end
      }
      found.push(selector)
    }
  }
  return found
}

function matchers(tokens) {
  const labels = []
  for (let at = 0; at < tokens.length; at += 4) {
    const [name, op, value] = tokens.slice(at, at + 3)
    labels.push({ name, op, value: value.slice(1, -1) })
  }
  return labels
}

/** The name a metric is declared by: a histogram's series carry a suffix that its declaration does not. */
export const declared = (metric, known) => {
  const bare = metric.replace(/_(bucket|sum|count)$/, '')
  return known.has(metric) ? metric : known.has(bare) ? bare : null
}
