// What do the publishers do? Requests, times, what became of the events, the intake before the database, Redis, Postgres.

import { dashboard, heatmap, lines, query, row } from '../panels.mjs'
import { annotations, buckets, chosenPublishers as on, eventColors, instanceVariable, namespaceVariable, publishers, quantiles, rate } from './common.mjs'
import { databaseRow, processRow, socketsRow } from './processes.mjs'

// A quantile within the first bucket would be a fraction of an event.
const whole = ({ expr, ...rest }) => ({ ...rest, expr: `clamp_min(${expr}, 1)` })

export const publisher = dashboard({
  uid: 'carillon-publisher',
  title: 'Carillon / Publishers',
  description: 'What each publisher does, from the request to the announcement.',
  variables: [namespaceVariable, instanceVariable(publishers)],
  annotations,
  rows: [
    row('Requests',
      lines('Requests', 'reqps', 'Requests answered by route, a second.', [query(rate('carillon_http_requests_total', on, 'route'), '{{route}}')]),
      lines('Publish answers', 'reqps', 'Answers to publish requests by HTTP status, a second.', [query(rate('carillon_http_requests_total', `${on},route="publish"`, 'status'), '{{status}}')]),
      lines('Errors', 'reqps', 'Answers with 5xx by route, a second.', [query(rate('carillon_http_requests_total', `${on},status=~"5.."`, 'route'), '{{route}}', { rare: true })]),
      heatmap('Time to publish', 's', 'From the body of a publish request to its answer.', buckets('carillon_publish_duration_seconds', `${on},phase="total"`)),
      lines('Time to publish, quantiles', 's', 'The whole request, and one batch in the database.', [
        ...quantiles('carillon_publish_duration_seconds', `${on},phase="total"`, [0.5, 0.99], { legend: 'request' }),
        ...quantiles('carillon_publish_duration_seconds', `${on},phase="db"`, [0.5, 0.99], { legend: 'database' }),
      ], { w: 12 }),
    ),
    row('Events',
      lines('Events', 'cps', 'What became of events: stored; replayed (the same key and content again); conflict (the same key, other content); refused; unknown tenant.',
        [query(rate('carillon_events_published_total', on, 'result'), '{{result}}')], { colors: eventColors }),
      lines('Without an answer', 'cps', 'Publish requests that got no answer from the log, by reason, a second.', [query(rate('carillon_publish_refused_total', on, 'reason'), '{{reason}}')]),
      lines('Events in a transaction', 'none', 'How many events one transaction commits: the group commit.', [
        ...quantiles('carillon_batch_events', on).map(whole),
        query(`${rate('carillon_batch_events_sum', on)} / ${rate('carillon_batch_events_count', on)}`, 'mean'),
      ]),
      lines('Transactions', 'cps', 'Batches committed by each publisher, a second.', [query(rate('carillon_batch_events_count', on, 'instance'), '{{instance}}')]),
      lines('Intake', 'percentunit', 'How full the fullest intake of the chosen nodes is: its events (of 20,000) and its bytes (of 32 MiB). When either is at 100 % requests are refused.', [
        query(`max(carillon_intake_events{${on}}) / 20000`, 'events'),
        query(`max(carillon_intake_bytes{${on}}) / (32 * 1024 * 1024)`, 'bytes'),
      ], { max: 1 }),
      lines('Refused by a share', 'cps', 'Requests that a share of parsing, of reading or of looking tenants up refused, by the bound they met, a second: total is the publisher\'s, group a tenant\'s, member a key\'s or user\'s.', [
        query(rate('carillon_parsing_refused_total', on, 'bound'), 'parsing: {{bound}}'),
        query(rate('carillon_reads_refused_total', on, 'resource, bound'), '{{resource}}: {{bound}}'),
        query(rate('carillon_tenant_lookups_refused_total', on, 'bound'), 'look-ups of tenants: {{bound}}', { rare: true }),
        query(rate('carillon_refused_bodies_cut_total', on, 'bound'), 'bodies not read on: {{bound}}', { rare: true }),
        query(rate('carillon_bodies_refused_total', on, 'reason'), 'bodies: {{reason}}', { rare: true }),
      ]),
      lines('API keys', 'cps', 'API keys looked up, in the cache and in the database, and not looked up because their address had its share, a second.', [query(rate('carillon_api_key_lookups_total', on, 'source'), '{{source}}')]),
    ),
    row('Redis',
      lines('Up', 'none', '1 while the connection works.', [query(`carillon_redis_up{${on}}`, '{{instance}}')], { max: 1 }),
      lines('Announcements', 'cps', 'Announcements that Redis took over, a second.', [query(rate('carillon_redis_published_total', on, 'instance'), '{{instance}}')]),
      lines('Failed announcements', 'cps', 'Announcements that did not get to Redis, by reason, a second. Gateways find the events in the log.',
        [query(rate('carillon_redis_publish_failed_total', on, 'reason'), '{{reason}}')]),
    ),
    row('Background work',
      lines('Runs', 'cps', 'Runs of background tasks by what they came to: done; more (and more is due); elsewhere (another publisher does it); postponed (somebody uses what is needed); failed, timed out, panicked.',
        [query(rate('carillon_task_runs_total', on, 'task, outcome'), '{{task}} {{outcome}}')]),
      lines('Failures in a row', 'none', 'Failed runs of each task since its last success; GET /tasks on the ops port has the words.',
        [query(`max by (task) (carillon_task_consecutive_failures{${on}})`, '{{task}}')]),
      lines('Since the last success', 's', 'How long ago each task last ended without a failure.',
        [query(`time() - max by (task) (carillon_task_last_success_timestamp_seconds{${on}} > 0)`, '{{task}}')]),
      lines('Time of a run', 's', 'Runs of background tasks, mean.',
        [query(`${rate('carillon_task_duration_seconds_sum', on, 'task')} / ${rate('carillon_task_duration_seconds_count', on, 'task')}`, '{{task}}')]),
    ),
    row('Maintenance',
      lines('Partitions', 'none', 'Days from today on that have a partition to append to (8 is usual, at 0 nothing can be published), and partitions past retention that are not dropped yet.', [
        query(`max(carillon_partitions_ahead_days{${on}})`, 'ahead'),
        query(`max(carillon_partitions_due{${on}})`, 'due'),
      ]),
      lines('Dropped partitions', 'none', 'Partitions past retention that were dropped.', [query(`sum(increase(carillon_partitions_dropped_total{${on}}[$__rate_interval]))`, 'dropped')]),
      lines('Forgotten keys', 'cps', 'Idempotency keys forgotten, a second.', [query(rate('carillon_idempotency_keys_forgotten_total', on), 'keys')]),
      lines('Overdue keys', 's', 'For how long the oldest idempotency key should have been forgotten. Up to a minute is usual.', [query(`max(carillon_idempotency_keys_overdue_seconds{${on}})`, 'oldest')]),
    ),
    row('Readers of the log',
      lines('Events to read', 'none', 'Events that a projector has not read yet, all publishers together.',
        [query(`sum by (projector) (carillon_projector_lag_events{${on}})`, '{{projector}}')]),
      lines('Behind', 's', 'How long ago a projector had read everything; 0 when it has now. The worst publisher.',
        [query(`max by (projector) (carillon_projector_lag_seconds{${on}})`, '{{projector}}')]),
      lines('Events read', 'cps', 'Events that projectors have read and committed the result of, a second.',
        [query(rate('carillon_projector_events_total', on, 'projector'), '{{projector}}')]),
      lines('Slots', 'none', 'Slots of a projector that are leased, of 64; fewer for more than some seconds means that nobody reads the rest.',
        [query(`sum by (projector) (carillon_projector_slots{${on}})`, '{{projector}}')]),
    ),
    databaseRow(on),
    socketsRow(on),
    processRow(on),
  ],
})
