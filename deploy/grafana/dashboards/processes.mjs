// What do gateways and publishers have in common? Rows about their database pool, the keys of tokens, their runtime and the process itself.

import { folded, lines, query, row } from '../panels.mjs'
import { quantiles, rate } from './common.mjs'

/** The row about Postgres, as one of both services uses it. */
export const databaseRow = (selector) =>
  row('Postgres',
    lines('Exchanges', 'reqps', 'Exchanges with Postgres by what was asked, a second.', [query(rate('carillon_log_queries_total', selector, 'query'), '{{query}}')]),
    lines('Pool', 'none', 'Database connections of the chosen nodes together: held, and working.', [
      query(`sum(carillon_db_pool_connections{${selector}})`, 'held'),
      query(`sum(carillon_db_pool_in_use{${selector}})`, 'in use'),
    ]),
    lines('Wait for a connection', 's', 'From wanting a database connection to having it. Above 100 ms the pool or the database is too small.', quantiles('carillon_db_pool_wait_seconds', selector)),
    lines('Failed exchanges', 'cps', 'Exchanges with Postgres that failed, by kind of work and why, a second. Only down means that the database cannot be reached.',
      [query(rate('carillon_log_failures_total', selector, 'work, kind'), '{{work}}: {{kind}}', { rare: true })]),
  )

/** The row about the listeners, before any request is understood. */
export const socketsRow = (selector) =>
  row('Sockets',
    lines('Unproven', 'none', 'Accepted sockets on which no request was authenticated yet, by port. At their bound the address with the most gives up its oldest.',
      [query(`sum by (port) (carillon_sockets_unproven{${selector}})`, '{{port}}')]),
    lines('Closed by a deadline or a share', 'cps', 'Sockets closed before their client wanted it, a second: evicted (made room for another), head (no whole request head in time), idle, stalled (an answer was not read).',
      [query(rate('carillon_sockets_closed_total', selector, 'port, reason'), '{{port}}: {{reason}}', { rare: true })]),
  )

/** The row about the runtime, the process and the key set, which hardly anybody looks at. */
export const processRow = (selector) =>
  folded('Process and keys',
    lines('Processor', 'percentunit', 'Processor time; 100 % is one core.', [query(`rate(process_cpu_seconds_total{${selector}}[$__rate_interval])`, '{{instance}}')]),
    lines('Memory', 'bytes', 'Resident memory.', [query(`process_resident_memory_bytes{${selector}}`, '{{instance}}')]),
    lines('Descriptors', 'percentunit', 'Open file descriptors, of those the process may have.', [query(`process_open_fds{${selector}} / process_max_fds{${selector}}`, '{{instance}}')], { max: 1 }),
    lines('Runtime', 'percentunit', 'Share of the time in which the threads of the asynchronous runtime work. Shards have threads of their own.', [query(`carillon_runtime_busy_ratio{${selector}}`, '{{instance}}')], { max: 1 }),
    lines('Waiting tasks', 'none', 'Tasks in the global queue of the runtime: work that no thread has taken.', [query(`carillon_runtime_global_queue{${selector}}`, '{{instance}}')]),
    lines('Tasks', 'none', 'Tasks alive in the runtime.', [query(`carillon_runtime_alive_tasks{${selector}}`, '{{instance}}')]),
    lines('Threads', 'none', 'Threads of the process.', [query(`process_threads{${selector}}`, '{{instance}}')]),
    lines('Uptime', 's', 'Since the process started.', [query(`time() - process_start_time_seconds{${selector}}`, '{{instance}}')]),
    lines('Virtual memory', 'bytes', 'Address space; only its growth says something.', [query(`process_virtual_memory_bytes{${selector}}`, '{{instance}}')]),
    lines('Fetches of the key set', 'cps', 'Of the identity provider, by result, a second; none without CARILLON_JWKS_URL.',
      [query(rate('carillon_jwks_refreshes_total', selector, 'result'), '{{result}}', { rare: true })], { colors: { ok: 'green', failed: 'red' } }),
  )
