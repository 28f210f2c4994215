const from = (folder) => ({ path: `^src/${folder}/` });
/** A folder of src may import these folders of src, src's own top-level modules, these other modules, and nothing else of ours. */
const layer = (folder, allowed, modules = []) => ({
  name: `${folder}-imports-one-way`,
  severity: 'error',
  from: from(folder),
  to: {
    path: '^(src|plugins|test)/',
    pathNot: `^src/(${[folder, ...allowed].join('|')})(/|$)|^src/(closest-name|errors|event-loop-turns|foreign-error|ip-networks|program-version|random-id|read-all|recently-used|secret|trace-context|trace-steps|try-parse-json|under-way)\\.ts$${modules.map((path) => `|^${path}\\.ts$`).join('')}`,
  },
});

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-orphans',
      severity: 'error',
      // workers and the program are started by path; the generator reads no imports of ours
      from: { orphan: true, path: '^(src|plugins)/', pathNot: '(-worker|livepeer-hsm-signer)\\.ts$' },
      to: {},
    },
    layer('pm', []),
    layer('wire', ['pm']),
    { ...layer('keys', ['pm']), to: { path: '^(src|plugins|test)/', pathNot: '^src/(keys|pm)/|^src/(errors|event-loop-turns|secret|trace-steps)\\.ts$' } },
    layer('chain', ['pm']),
    layer('auth', ['pm', 'wire', 'outgoing']),
    layer('session', ['pm', 'wire', 'keys'], ['src/store/script-runner']),
    layer('policy', ['pm', 'keys', 'chain', 'auth', 'files'], ['src/store/script-runner']),
    layer('outgoing', []),
    layer('discovery', ['outgoing', 'policy', 'chain', 'wire', 'pm']),
    layer('payments', ['pm', 'wire', 'session', 'policy', 'keys', 'chain', 'auth']),
    layer('events', ['audit', 'outgoing', 'files']),
    layer('audit', ['files']),
    layer('files', []),
    layer('telemetry', []),
    layer('store', []),
    layer('admin', ['http', 'keys', 'chain', 'pm']),
    layer('config', ['pm', 'keys', 'policy', 'chain', 'files'], ['src/auth/principal-name', 'plugins/registry']),
    layer('http', ['payments', 'discovery', 'auth', 'wire', 'telemetry', 'files']),
    layer('cli', ['discovery', 'config', 'keys', 'auth', 'policy', 'pm', 'audit', 'telemetry', 'admin', 'http', 'payments', 'files', 'compose', 'main\\.ts']),
    {
      name: 'pm-is-pure',
      comment: 'No I/O, clock or randomness: arguments in, values out.',
      severity: 'error',
      from: from('pm'),
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'plugins-know-the-port-only',
      severity: 'error',
      from: { path: '^plugins/([^/]+)/' },
      to: { path: '^(src|plugins|test)/', pathNot: '^plugins/$1/|^src/keys/' },
    },
    {
      name: 'plugins-are-loaded-by-the-registry',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^plugins/', pathNot: '^plugins/registry\\.ts$' },
    },
    {
      name: 'the-registry-knows-port-and-plugins-only',
      severity: 'error',
      from: { path: '^plugins/registry\\.ts$' },
      to: { path: '^(src|plugins|test)/', pathNot: '^plugins/[^/]+/index\\.ts$|^src/keys/provider\\.ts$' },
    },
    {
      name: 'only-policy-makes-grants',
      severity: 'error',
      from: { path: '^(src|plugins)/', pathNot: '^src/policy/' },
      to: { path: '^src/policy/grants\\.ts$' },
    },
    {
      name: 'client-is-a-package-of-its-own',
      comment: 'It knows the protocol, and nothing of the signer; it has no dependencies.',
      severity: 'error',
      from: { path: '^client/' },
      to: { pathNot: '^client/src/', dependencyTypesNot: ['core'] },
    },
    {
      name: 'client-runs-anywhere',
      comment: 'Only its entry for Node imports what Node alone has.',
      severity: 'error',
      from: { path: '^client/src/', pathNot: '^client/src/node(/|\\.ts$)' },
      to: { path: '^client/src/node(/|\\.ts$)|^node:|^(crypto|http2?|https|stream)$' },
    },
    {
      name: 'product-does-not-import-the-client',
      severity: 'error',
      from: { path: '^(src|plugins)/' },
      to: { path: '^client/' },
    },
    {
      name: 'product-does-not-import-tests',
      severity: 'error',
      from: { path: '^(src|plugins)/' },
      to: { path: '^test/' },
    },
    {
      name: 'not-to-dev-dependencies',
      severity: 'error',
      from: { path: '^(src|plugins)/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only', 'npm-peer'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  },
};
