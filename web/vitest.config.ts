import { existsSync } from 'node:fs'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const workspaces = ['client', 'react', 'ui', 'server', 'examples', 'console']

// The file that takes as long as all others together comes first, so that it does not run alone in the end.
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLongest = (file: TestSpecification) => file.moduleId.endsWith('/console/test/console.test.ts')
    const sorted = await super.sort(files)
    return [...sorted.filter(isLongest), ...sorted.filter((file) => !isLongest(file))]
  }
}

export default defineConfig({
  test: {
    projects: [
      ...workspaces.filter((name) => existsSync(new URL(`${name}/vitest.config.ts`, import.meta.url))),
      'react/vitest.react-18.config.ts',
    ],
    // Tests wait for servers and browsers more than they compute; by default one core is left unused.
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
  },
})
