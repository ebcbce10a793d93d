// Tests run from the sources; children and worker threads run from dist (see CONTRIBUTING.md).
// Two busy cores: a limit is there to end what hangs, never to measure.
const TIME_LIMIT_MS = 60_000;

/** Proofs whose shortest run is minutes of waiting for real servers: a slice and the whole product have them (`*.long.spec.ts`). */
export const LONG = '\\.long\\.(?:crash\\.|e2e\\.)?spec\\.ts$';
const IGNORED = ['/node_modules/', LONG];

const shared = {
  testTimeout: TIME_LIMIT_MS,
  testEnvironment: 'node',
  testEnvironmentOptions: { customExportConditions: ['source', 'node', 'node-addons'] },
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2023',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
        },
        module: { type: 'es6' },
      },
    ],
  },
  roots: ['<rootDir>/apps', '<rootDir>/libs', '<rootDir>/test'],
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
};

export default {
  projects: [
    {
      ...shared,
      displayName: 'unit',
      testMatch: ['**/*.spec.ts'],
      testPathIgnorePatterns: ['\\.(crash|e2e)\\.spec\\.ts$', ...IGNORED],
    },
    {
      ...shared,
      displayName: 'crash',
      testMatch: ['**/*.crash.spec.ts'],
      testPathIgnorePatterns: IGNORED,
    },
    { ...shared, displayName: 'e2e', testMatch: ['**/*.e2e.spec.ts'], testPathIgnorePatterns: IGNORED },
  ],
  testTimeout: TIME_LIMIT_MS,
  // One more than the cores of the smallest machine: whoever waits for a server leaves its core to another.
  maxWorkers: 3,
  globalSetup: '<rootDir>/test/support/jest-setup.js',
  globalTeardown: '<rootDir>/test/support/jest-teardown.js',
  reporters: ['default', '<rootDir>/test/support/summary-reporter.js'],
};

/** The projects with what only a slice and the whole product have. */
export function withLong(projects) {
  return projects.map((project) => ({
    ...project,
    testPathIgnorePatterns: project.testPathIgnorePatterns.filter((pattern) => pattern !== LONG),
  }));
}
