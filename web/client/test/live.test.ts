// Does live state find its channels?

import { expect, test } from 'vitest'
import { createClient } from '../src/index.js'

test('live state joins channels that nobody has named before', () => {
  const client = createClient({ url: 'http://127.0.0.1:9', getToken: () => null, autoConnect: false })
  const live = client.live({
    channels: ['staff', 'branch:1'],
    load: async () => ({ value: [], position: '0:1' }),
    apply: (value) => value,
  })
  const off = live.on(() => {})
  expect(live.snapshot.status).toBe('loading')
  off()
  client.close()
})
