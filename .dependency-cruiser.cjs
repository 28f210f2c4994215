const from = (folder) => ({ path: `^src/${folder}/` });
/** A folder of src may import these folders of src, and src's own top-level modules, and nothing else of ours. */
const layer = (folder, allowed) => ({
  name: `${folder}-imports-one-way`,
  severity: 'error',
  from: from(folder),
  to: {
    path: '^(src|plugins|test)/',
    pathNot: `^src/(${[folder, ...allowed].join('|')})(/|$)|^src/(errors|program-version|random-id|script-runner|secret)\\.ts$`,
  },
});

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-orphans',
      severity: 'error',
      // workers and the program are started by path; the generator reads no imports of ours
      from: { orphan: true, path: '^(src|plugins)/', pathNot: '(-worker|livepeer-signer)\\.ts$' },
      to: {},
    },
    layer('pm', []),
    layer('wire', ['pm']),
    { ...layer('keys', ['pm']), to: { path: '^(src|test)/', pathNot: '^src/(keys|pm)/|^src/(errors|secret)\\.ts$' } },
    layer('chain', ['pm']),
    layer('auth', ['pm', 'wire']),
    layer('session', ['pm', 'wire', 'keys']),
    layer('policy', ['pm', 'keys', 'chain', 'auth']),
    layer('payments', ['pm', 'wire', 'session', 'policy', 'keys', 'chain', 'auth']),
    layer('ops', []),
    layer('config', ['pm', 'keys', 'policy', 'chain']),
    layer('http', ['payments', 'auth', 'wire', 'ops']),
    layer('cli', ['config', 'keys', 'auth', 'policy', 'pm', 'ops', 'http', 'payments', 'policy', 'compose', 'main\\.ts']),
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
      from: { path: '^src/', pathNot: '^src/keys/registry\\.ts$' },
      to: { path: '^plugins/' },
    },
    {
      name: 'only-policy-makes-grants',
      severity: 'error',
      from: { path: '^(src|plugins)/', pathNot: '^src/policy/' },
      to: { path: '^src/policy/grants\\.ts$' },
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
