// How many tests of all workspaces passed? Runs them and says it on the last line.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folder = mkdtempSync(join(tmpdir(), 'carillon-web-'))
const file = join(folder, 'result.json')
const program = ['vitest', 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${file}`]
const { status } = spawnSync('npx', [...program, ...process.argv.slice(2)], { stdio: 'inherit' })

let passed = 0
let failed = 0
try {
  const result = JSON.parse(readFileSync(file, 'utf8'))
  passed = result.numPassedTests
  // A test that did not run has not passed; a file that did not load has no tests.
  failed =
    result.numTotalTests -
    passed +
    result.testResults.filter((one) => one.status === 'failed' && !one.assertionResults.length).length
} catch (error) {
  console.error(`web: the tests left no result: ${error.message}`)
}
rmSync(folder, { recursive: true })
console.log(`web: ${passed} passed, ${failed} failed`)
process.exit(status === 0 && failed === 0 && passed > 0 ? 0 : 1)
