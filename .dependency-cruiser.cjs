/** The arrows of the house point one way; a planted violation is shown red by test/architecture.spec.ts. */
module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    { name: 'no-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'domain-is-pure',
      severity: 'error',
      comment: 'domain/ knows only itself, zod and the types of #eventlog.',
      from: { path: '^libs/([^/]+)/src/domain/', pathNot: '\\.spec\\.ts$' },
      to: { pathNot: ['^libs/$1/src/domain/', '^libs/eventlog/src/index\\.ts$', '^node_modules/zod/'] },
    },
    {
      name: 'application-not-to-infrastructure',
      severity: 'error',
      from: { path: '^libs/([^/]+)/src/application/' },
      to: { path: '^libs/$1/src/infrastructure/' },
    },
    {
      name: 'libs-by-front-door',
      severity: 'error',
      comment:
        'A library is entered by an index.ts of its own (its front door, or a named entry of package.json).',
      from: { path: '^(libs|apps)/([^/]+)/' },
      to: {
        path: '^libs/[^/]+/src/',
        pathNot: ['^libs/[^/]+/src/index\\.ts$', '^libs/[^/]+/src/[^/]+/index\\.ts$', '^libs/$2/'],
      },
    },
    { name: 'libs-not-to-apps', severity: 'error', from: { path: '^libs/' }, to: { path: '^apps/' } },
    {
      name: 'one-way-platform',
      severity: 'error',
      from: { path: '^libs/platform/' },
      to: { path: '^libs/(?!platform/)' },
    },
    {
      name: 'one-way-eventlog',
      severity: 'error',
      from: { path: '^libs/eventlog/' },
      to: { path: '^libs/(?!eventlog/|platform/)' },
    },
    {
      name: 'one-way-custody',
      severity: 'error',
      from: { path: '^libs/custody/' },
      to: { path: '^libs/(?!custody/|eventlog/|platform/)' },
    },
    {
      name: 'one-way-access',
      severity: 'error',
      from: { path: '^libs/access/' },
      to: { path: '^libs/(?!access/|eventlog/|platform/)' },
    },
    {
      name: 'one-way-rotation',
      severity: 'error',
      comment: 'rotation knows the back-end port only, never an adapter.',
      from: { path: '^libs/rotation/' },
      to: { path: '^libs/(?!rotation/|eventlog/|platform/|custody/src/index\\.ts|custody/src/testing/)' },
    },
    {
      name: 'one-way-notify',
      severity: 'error',
      comment: 'What is alarming is gathered by the service; notify only delivers.',
      from: { path: '^libs/notify/' },
      to: { path: '^libs/(?!notify/|eventlog/|platform/)' },
    },
    {
      name: 'readers-of-rotation',
      severity: 'error',
      from: { path: '^libs/(schedule|evidence)/' },
      to: { path: '^libs/(?!$1/|rotation/|eventlog/|platform/)' },
    },
    {
      name: 'testing-stays-in-tests',
      severity: 'error',
      from: { pathNot: ['\\.spec\\.ts$', '/testing/', '\\.contract\\.ts$'] },
      to: { path: '/src/testing/' },
    },
    {
      name: 'nest-only-at-the-edge',
      severity: 'error',
      comment:
        'The libraries run without Nest (crash children load them bare); only *.module.ts, the service and use cases know it.',
      from: { path: '^libs/(platform|eventlog|custody|evidence|schedule|access|notify)/' },
      to: { path: '^node_modules/@nestjs/' },
    },
    {
      name: 'sqlite-by-the-seam',
      severity: 'error',
      from: { pathNot: '^libs/eventlog/src/sqlite/' },
      to: { path: '^node_modules/@photostructure/sqlite' },
    },
    {
      name: 'pdfkit-only-in-pdf',
      severity: 'error',
      from: { pathNot: '^libs/evidence/src/pdf/' },
      to: { path: '^node_modules/pdfkit' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^dist/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['source', 'import', 'require', 'node', 'default', 'types'],
    },
  },
};
