// Is everything well? Objectives, budgets, traffic, times and the servers below, on one page.

import { bars, dashboard, lines, number, query, row, table } from '../panels.mjs'
import { annotations, both, eventColors, gateways, namespaceVariable, publishers, quantiles, rate, recorded, welcomeColors } from './common.mjs'

// The alerts about missing targets have no namespace.
const firing = 'ALERTS{alertstate="firing",alertname=~"Carillon.+",namespace=~"$namespace|"}'
const alerts = `max by (alertname, severity, namespace, instance) (${firing})`
const good = (slo) => `1 - sum(namespace:carillon_${slo}_errors:rate1h{${recorded}}) / sum(namespace:carillon_${slo}_valid:rate1h{${recorded}})`
const burn = (slo, budget) => `sum(namespace:carillon_${slo}_errors:rate1h{${recorded}}) / sum(namespace:carillon_${slo}_valid:rate1h{${recorded}}) / ${budget}`
const objective = (title, slo, target, description) =>
  number(title, 'percentunit', `${description} In the last hour. Objective: ${target * 100} % of 30 days.`, [query(good(slo))], {
    decimals: 3, thresholds: [[null, 'red'], [1 - 14.4 * (1 - target), 'orange'], [target, 'green']],
  })

export const overview = dashboard({
  uid: 'carillon-overview',
  title: 'Carillon / Overview',
  description: 'Objectives, traffic, times and dependencies of an installation. Needs the recording rules of deploy/prometheus.',
  variables: [namespaceVariable],
  annotations,
  rows: [
    row('Objectives',
      objective('Publishes answered', 'publish', 0.9999, 'Publish requests that were not answered with 5xx, of those that were valid.'),
      objective('Delivered in time', 'delivery', 0.999, 'Events on the sockets of a shard within 250 ms of their commit.'),
      objective('Let in', 'handshake', 0.9995, 'Clients that were let in, of those that had the right.'),
      objective('Resumed', 'resume', 0.9999, 'Welcomes that did not tell the client to reload.'),
      number('Lost or doubled', 'none', 'Events that canaries missed or saw twice within the time shown. Objective: none, ever.',
        [query(`sum(increase(carillon_canary_gaps_total{${gateways}}[$__range])) + sum(increase(carillon_canary_duplicates_total{${gateways}}[$__range]))`)],
        { decimals: 0, thresholds: [[null, 'green'], [0.5, 'red']], spark: false }),
      number('Alerts', 'none', 'Alerts of Carillon that fire now. The table below names them.',
        [query(`count(${alerts}) or vector(0)`)],
        { decimals: 0, thresholds: [[null, 'green'], [1, 'orange']], spark: false }),
      bars('Error budget left', 'percentunit', 'What is left of the errors that 30 days may have. Below zero the objective is missed.',
        ['publish', 'delivery', 'handshake', 'resume'].map((slo) => query(`min(namespace:carillon_${slo}_budget:left30d{${recorded}})`, slo)),
        { max: 1, thresholds: [[null, 'red'], [0, 'orange'], [0.25, 'green']] }),
      lines('Burn rate', 'none', 'How many times faster than allowed the budget is spent, by the last hour. 14.4 calls somebody at once.', [
        query(burn('publish', 0.0001), 'publish'),
        query(burn('delivery', 0.001), 'delivery'),
        query(burn('handshake', 0.0005), 'handshake'),
        query(burn('resume', 0.0001), 'resume'),
      ]),
      table('Firing alerts', 'none', 'Each has a heading in docs/runbooks.', [query(alerts, '', { rare: true })],
        { w: 8, hide: ['Value'], order: ['alertname', 'severity', 'instance', 'namespace'], rename: { alertname: 'alert', instance: 'node', namespace: 'installation' }, widths: { alert: 215, severity: 70 }, sort: ['severity', false] }),
    ),
    row('Traffic',
      lines('Connections', 'short', 'Open connections of all gateways: WebSockets, event streams and polls.', [query(`sum by (namespace) (carillon_connections{${gateways}})`, '{{namespace}}')]),
      lines('Events', 'cps', 'Events that reached the log, by what became of them, a second.', [query(rate('carillon_events_published_total', publishers, 'result'), '{{result}}')], { colors: eventColors }),
      lines('Deliveries', 'cps', 'Event frames written to sockets, a second.', [query(rate('carillon_deliveries_total', gateways), 'deliveries')]),
      lines('Publish requests', 'reqps', 'Answers to publish requests by HTTP status, a second.', [query(rate('carillon_http_requests_total', `${publishers},route="publish"`, 'status'), '{{status}}')]),
      lines('Coming and going', 'cps', 'Connections taken in and ended, a second.', [
        query(rate('carillon_connections_accepted_total', gateways), 'accepted'),
        query(rate('carillon_connections_closed_total', gateways), 'closed'),
      ]),
      lines('Welcomes', 'cps', 'live: nothing missed; replay: missed events follow; reset: the client must reload.', [query(rate('carillon_resumes_total', gateways, 'result'), '{{result}}')], { colors: welcomeColors }),
    ),
    row('Times',
      lines('Publishing', 's', 'From the body of a publish request to its answer.', quantiles('carillon_publish_duration_seconds', `${publishers},phase="total"`)),
      lines('Commit to socket', 's', 'From the commit in the database to the sockets of a shard, each event once a shard. Compares two clocks.', quantiles('carillon_delivery_latency_seconds', gateways, [0.5, 0.99, 0.999])),
      lines('What people feel', 's', 'From publishing to receiving through the public path, by the canaries; one clock.', quantiles('carillon_canary_round_trip_seconds', gateways)),
    ),
    row('What it stands on',
      number('Gateways', 'none', 'Gateways that Prometheus reaches.', [query(`sum(up{${gateways}})`)], { thresholds: [[null, 'red'], [1, 'green']] }),
      number('Publishers', 'none', 'Publishers that Prometheus reaches.', [query(`sum(up{${publishers}})`)], { thresholds: [[null, 'red'], [1, 'green']] }),
      number('Redis', 'percentunit', 'Share of the processes whose Redis connection works.', [query(`avg(carillon_redis_up{${both}})`)], { thresholds: [[null, 'red'], [0.5, 'orange'], [1, 'green']] }),
      number('Postgres', 'percentunit', 'Share of the processes that get an answer from Postgres.', [query(`avg(carillon_db_up{${both}})`)], { thresholds: [[null, 'red'], [0.5, 'orange'], [1, 'green']] }),
      number('Gaps', 'none', 'Holes in streams that were read from the log, within the time shown: messages that Redis lost. Nobody missed them.', [query(`sum(increase(carillon_gaps_total{${gateways}}[$__range]))`)], { decimals: 0, spark: false }),
      number('Logs that lost their end', 'none', 'Streams that lost continuity within the time shown; their clients reloaded.', [query(`sum(increase(carillon_stream_resets_total{${gateways}}[$__range]))`)],
        { decimals: 0, spark: false, thresholds: [[null, 'green'], [0.5, 'red']] }),
      lines('Publishes refused', 'cps', 'Publish requests without an answer from the log, by reason, a second.', [query(rate('carillon_publish_refused_total', publishers, 'reason'), '{{reason}}')]),
      lines('Processor', 'percentunit', 'Processor time of each process; 100 % is one core.', [query(`sum by (job, instance) (rate(process_cpu_seconds_total{${both}}[$__rate_interval]))`, '{{job}} {{instance}}')]),
      lines('Memory', 'bytes', 'Resident memory of each process.', [query(`process_resident_memory_bytes{${both}}`, '{{job}} {{instance}}')]),
    ),
  ],
})
