// What happens while nodes come and go? Drains, where their clients went, balance, versions, and whether anybody noticed.

import { dashboard, lines, number, query, row, states } from '../panels.mjs'
import { annotations, both, canaryColors, gateways, namespaceVariable, publishers, quantiles, rate, recorded, welcomeColors } from './common.mjs'

// A handful of connections is never balanced, and says nothing.
const enough = `and on (namespace) namespace:carillon_connections:sum{${recorded}} > 100`

export const fleet = dashboard({
  uid: 'carillon-fleet',
  title: 'Carillon / Fleet and deploys',
  description: 'Drain, evacuation, rebalance and roll-outs: who leaves, where its clients go, and what they notice. Needs the recording rules of deploy/prometheus.',
  variables: [namespaceVariable],
  annotations,
  rows: [
    row('Who serves',
      number('Nodes in the registry', 'none', 'Serving gateways, as they know each other through Redis.', [query(`max(carillon_fleet_nodes{${gateways}})`)], { w: 6 }),
      number('Connections in the registry', 'short', 'Connections of all serving gateways, as they know each other.', [query(`max(carillon_fleet_connections{${gateways}})`)], { w: 6 }),
      number('Leaving', 'none', 'Gateways that drain or are evacuated.', [query(`count(carillon_drain_state{${gateways}} > 0) or vector(0)`)], { w: 6, thresholds: [[null, 'green'], [1, 'orange']] }),
      number('Fullest node', 'none', 'Connections of the fullest serving gateway, in multiples of the mean. A node above 1.2 sheds, if CARILLON_REBALANCE is on. From 100 connections.',
        [query(`max(namespace:carillon_connections:imbalance{${recorded}} ${enough})`)], { w: 6, decimals: 2, thresholds: [[null, 'green'], [1.2, 'orange'], [1.5, 'red']] }),
      states('State of each gateway', 'Serving, evacuating (told to empty itself, stays) or draining (stops).', [query(`carillon_drain_state{${gateways}}`, '{{instance}}')],
        { 0: ['serving', 'green'], 1: ['evacuating', 'blue'], 2: ['draining', 'orange'] }, { h: 7 }),
    ),
    row('Where clients are',
      lines('Connections', 'short', 'Open connections of each gateway.', [query(`instance:carillon_connections:sum{${recorded}}`, '{{instance}}')], { w: 12 }),
      lines('Share of the mean', 'none', 'Connections of each serving gateway, in multiples of the mean. From 100 connections.',
        [query(`instance:carillon_connections_serving:sum{${recorded}} / on (namespace) group_left () avg by (namespace) (instance:carillon_connections_serving:sum{${recorded}}) ${enough}`, '{{instance}}')], { w: 12 }),
      lines('Told to leave', 'cps', 'Connections told to go, by cause, a second. At most CARILLON_DRAIN_RATE on a node.', [query(rate('carillon_told_to_leave_total', gateways, 'cause'), '{{cause}}')]),
      lines('Taken in', 'cps', 'Connections taken in by each gateway, a second: where the others went.', [query(rate('carillon_connections_accepted_total', gateways, 'instance'), '{{instance}}')]),
      lines('Ended', 'cps', 'Connections ended by reason, a second: `restart` is what did not leave by itself.', [query(rate('carillon_connections_closed_total', gateways, 'reason'), '{{reason}}')]),
    ),
    row('What clients notice',
      lines('Welcomes', 'cps', 'live: nothing missed; replay: missed events follow; reset: the client must reload.', [query(rate('carillon_resumes_total', gateways, 'result'), '{{result}}')], { colors: welcomeColors }),
      lines('Sent away', 'cps', 'Handshakes refused by problem code, a second. `draining` means the balancer still sends clients to a node that is not ready.', [query(rate('carillon_handshakes_rejected_total', gateways, 'code'), '{{code}}')]),
      lines('Handshake', 's', 'From the request to the connection.', quantiles('carillon_handshake_duration_seconds', gateways)),
      lines('Commit to socket', 's', 'From the commit to the sockets of a shard.', quantiles('carillon_delivery_latency_seconds', gateways)),
      lines('Publish errors', 'reqps', 'Publish requests answered with 5xx, a second.', [query(`sum(namespace:carillon_publish_errors:rate5m{${recorded}})`, 'errors')]),
      lines('Canary', 'cps', 'Runs of the canaries by result, a second.', [query(rate('carillon_canary_runs_total', gateways, 'result'), '{{result}}')], { colors: canaryColors }),
    ),
    row('Processes',
      lines('Versions', 'none', 'Processes by service and version: a roll-out in progress shows two.', [query(`count by (job, version) (carillon_build_info{${both}})`, '{{job}} {{version}}')], { stack: true }),
      lines('Answering', 'none', 'Targets that Prometheus reaches.', [query(`sum by (job) (up{${gateways}} or up{${publishers}})`, '{{job}}')]),
      lines('Just started', 'none', 'Processes that started within the last five minutes: a roll-out, or restarts.', [query(`sum by (job) (time() - process_start_time_seconds{${both}} < bool 300)`, '{{job}}')]),
    ),
  ],
})
