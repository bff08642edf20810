// Which tenants carry the load? From /metrics/tenants, which names the largest and adds up the others as `OTHER`.

import { bars, dashboard, lines, number, query, row, table } from '../panels.mjs'
import { annotations, namespaceVariable, rate, tenantSeries as all } from './common.mjs'

const tenantVariable = { name: 'tenant', label: 'Tenant', expr: 'label_values(carillon_tenant_connections, tenant)' }
const chosen = `${all},tenant=~"$tenant"`
// Ten bars, the longest first, all of one colour: a tenant has no place of its own. Who does nothing has no bar.
const top = (title, unit, description, expr, size) => bars(title, unit, description, [query(`topk(10, ${expr} > 0)`, '{{tenant}}')], { ...size, thresholds: [[null, 'blue']] })
const right = { w: 12, names: 'right' }

export const tenants = dashboard({
  uid: 'carillon-tenants',
  title: 'Carillon / Tenants',
  description: 'The tenants with series of their own (CARILLON_TENANT_METRICS of each process) and the rest together as `OTHER`. Needs the job carillon-tenants.',
  variables: [namespaceVariable, tenantVariable],
  annotations,
  rows: [
    row('All',
      number('Tenants shown', 'none', 'Tenants that have series of their own on some gateway.', [query(`count(count by (tenant) (carillon_tenant_connections{${all},tenant!="OTHER"}))`)], { w: 6 }),
      number('Connections of the others', 'percentunit', 'Share of the connections that belongs to tenants without series of their own.',
        [query(`(sum(carillon_tenant_connections{${all},tenant="OTHER"}) or vector(0)) / sum(carillon_tenant_connections{${all}})`)], { w: 6 }),
      number('Largest by connections', 'percentunit', 'Share of the connections that the largest tenant has.',
        [query(`max(sum by (tenant) (carillon_tenant_connections{${all},tenant!="OTHER"})) / sum(carillon_tenant_connections{${all}})`)], { w: 6 }),
      number('Largest by deliveries', 'percentunit', 'Share of the deliveries that the busiest tenant causes.',
        [query(`max(${rate('carillon_tenant_deliveries_total', `${all},tenant!="OTHER"`, 'tenant')}) / ${rate('carillon_tenant_deliveries_total', all)}`)], { w: 6 }),
      top('Most connections', 'short', 'The ten tenants with the most connections.', `sum by (tenant) (carillon_tenant_connections{${all}})`),
      top('Most deliveries', 'cps', 'The ten tenants to which the most event frames are written, a second.', rate('carillon_tenant_deliveries_total', all, 'tenant')),
      top('Most events', 'cps', 'The ten tenants with the most events on any one gateway, a second. A gateway counts an event once, however many receive it.',
        `max by (tenant) (rate(carillon_tenant_events_total{${all}}[$__rate_interval]))`),
    ),
    row('Publishing',
      top('Most published', 'cps', 'The ten tenants to which the most events are published, a second.', rate('carillon_tenant_events_published_total', all, 'tenant'), { w: 12 }),
      top('Most bytes published', 'Bps', 'The ten tenants to which the most bytes are published, a second.', rate('carillon_tenant_bytes_published_total', all, 'tenant'), { w: 12 }),
    ),
    row('Chosen tenants',
      lines('Connections', 'short', 'Open connections of the chosen tenants.', [query(`sum by (tenant) (carillon_tenant_connections{${chosen}})`, '{{tenant}}')], right),
      lines('Deliveries', 'cps', 'Event frames written to their sockets, a second.', [query(rate('carillon_tenant_deliveries_total', chosen, 'tenant'), '{{tenant}}')], right),
      lines('Events', 'cps', 'Events of their logs, a second; every gateway that follows a tenant sees all of them.', [query(`max by (tenant) (rate(carillon_tenant_events_total{${chosen}}[$__rate_interval]))`, '{{tenant}}')], right),
      table('On which gateways', 'short', 'Connections of the chosen tenants on each gateway.', [query(`sum by (tenant, instance) (carillon_tenant_connections{${chosen}}) > 0`)],
        { w: 12, order: ['tenant', 'instance', 'Value'], rename: { instance: 'node', Value: 'connections' }, sort: ['connections', true] }),
    ),
  ],
})
