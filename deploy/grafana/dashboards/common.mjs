// What do all dashboards share? The two variables, what is marked on the time axis, and how quantiles and rates are asked for.

import { query } from '../panels.mjs'

const NAMESPACE = 'namespace=~"$namespace"'
const INSTANCE = 'instance=~"$instance"'

/** Selectors: of a whole installation, and of the chosen nodes. */
export const gateways = `job="carillon-gateway",${NAMESPACE}`
export const publishers = `job="carillon-publisher",${NAMESPACE}`
export const tenantSeries = `job="carillon-tenants",${NAMESPACE}`
export const both = `job=~"carillon-(gateway|publisher)",${NAMESPACE}`
export const recorded = NAMESPACE
export const chosenGateways = `${gateways},${INSTANCE}`
export const chosenPublishers = `${publishers},${INSTANCE}`

export const namespaceVariable = { name: 'namespace', label: 'Installation', expr: 'label_values(carillon_build_info, namespace)' }
export const instanceVariable = (selector) => ({ name: 'instance', label: 'Node', expr: `label_values(carillon_build_info{${selector}}, instance)` })

export const annotations = [
  { name: 'Node leaves', expr: `carillon_drain_state{${gateways}} == 2`, text: '{{instance}} drains', color: 'orange' },
  { name: 'Node starts', expr: `time() - process_start_time_seconds{${both}} < 60`, text: '{{job}} {{instance}}', color: 'blue' },
  { name: 'Alert', expr: 'ALERTS{alertstate="firing",severity="critical",alertname=~"Carillon.+"}', text: '{{alertname}} {{instance}}', color: 'red' },
]

/** What became of something has one colour everywhere. */
export const welcomeColors = { live: 'green', replay: 'blue', reset: 'red' }
export const eventColors = { stored: 'green', replayed: 'blue', conflict: 'orange', refused: 'red', unknown_tenant: 'purple' }
export const canaryColors = { ok: 'green', publish_failed: 'purple', not_received: 'red', not_connected: 'orange' }

/** Per second, summed over what is left out of `by`. */
export const rate = (metric, selector, by = '') => `sum${by && ` by (${by})`} (rate(${metric}{${selector}}[$__rate_interval]))`

/** Quantiles of a histogram, one query for each. */
export const quantiles = (metric, selector, which = [0.5, 0.99], { legend = '', rare = false } = {}) =>
  which.map((q) => {
    const buckets = `sum by (le) (rate(${metric}_bucket{${selector}}[$__rate_interval]))`
    return query(`histogram_quantile(${q}, ${buckets})`, `p${+(q * 100).toFixed(1)}${legend && ` ${legend}`}`, { rare })
  })

/** How often each bucket was hit: the one query of a heatmap. */
export const buckets = (metric, selector) => [query(`sum by (le) (increase(${metric}_bucket{${selector}}[$__rate_interval]))`, '{{le}}')]
