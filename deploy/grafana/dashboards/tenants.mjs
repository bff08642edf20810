// Which tenants carry the load? From /metrics/tenants, which names the largest and adds up the others as `OTHER`.

import { bars, dashboard, lines, number, query, row, table } from '../panels.mjs'
import { annotations, namespaceVariable, rate, tenantSeries as all } from './common.mjs'

const tenantVariable = { name: 'tenant', label: 'Tenant', expr: 'label_values(carillon_tenant_connections, tenant)' }
const chosen = `${all},tenant=~"$tenant"`
const top = (expr) => [query(`topk(10, ${expr})`, '{{tenant}}')]

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
      bars('Most connections', 'short', 'The ten tenants with the most connections.', top(`sum by (tenant) (carillon_tenant_connections{${all}})`)),
      bars('Most deliveries', 'cps', 'The ten tenants to which the most event frames are written, a second.', top(rate('carillon_tenant_deliveries_total', all, 'tenant'))),
      bars('Most events', 'cps', 'The ten tenants with the most events on any one gateway, a second. A gateway counts an event once, however many receive it.',
        top(`max by (tenant) (rate(carillon_tenant_events_total{${all}}[$__rate_interval]))`)),
    ),
    row('Publishing',
      bars('Most published', 'cps', 'The ten tenants to which the most events are published, a second.', top(rate('carillon_tenant_events_published_total', all, 'tenant')), { w: 12 }),
      bars('Most bytes published', 'Bps', 'The ten tenants to which the most bytes are published, a second.', top(rate('carillon_tenant_bytes_published_total', all, 'tenant')), { w: 12 }),
    ),
    row('Chosen tenants',
      lines('Connections', 'short', 'Open connections of the chosen tenants.', [query(`sum by (tenant) (carillon_tenant_connections{${chosen}})`, '{{tenant}}')], { w: 12 }),
      lines('Deliveries', 'cps', 'Event frames written to their sockets, a second.', [query(rate('carillon_tenant_deliveries_total', chosen, 'tenant'), '{{tenant}}')], { w: 12 }),
      lines('Events', 'cps', 'Events of their logs, a second; every gateway that follows a tenant sees all of them.', [query(`max by (tenant) (rate(carillon_tenant_events_total{${chosen}}[$__rate_interval]))`, '{{tenant}}')], { w: 12 }),
      table('On which gateways', 'short', 'Connections of the chosen tenants on each gateway.', [query(`sum by (tenant, instance) (carillon_tenant_connections{${chosen}})`)], { w: 12, rename: { Value: 'connections' } }),
    ),
  ],
})
