import js from '@eslint/js';
import prettier from 'eslint-plugin-prettier/recommended';
import tseslint from 'typescript-eslint';

const noFloatsForMoney = ['Number', 'parseFloat', 'parseInt'].map((name) => ({
  selector: `CallExpression[callee.name='${name}']`,
  message: 'Money, prices and expected values are bigint or Rational; a number would round them.',
}));

const unseeded = 'A test must be repeatable: draw from createRandom in test/support/random.ts.';
const randomOfNode = [
  'getRandomValues',
  'randomBytes',
  'randomFill',
  'randomFillSync',
  'randomInt',
  'randomUUID',
];

/** Nothing that a test's outcome may depend on comes from anywhere but the seed of the run. */
const seededRandomness = {
  'no-restricted-properties': [
    'error',
    { object: 'Math', property: 'random', message: unseeded },
    ...randomOfNode.map((property) => ({ object: 'crypto', property, message: unseeded })),
  ],
  'no-restricted-imports': [
    'error',
    {
      paths: [
        ...['node:crypto', 'crypto'].map((name) => ({
          name,
          importNames: [...randomOfNode, 'webcrypto'],
          message: unseeded,
        })),
        { name: 'viem/accounts', importNames: ['generatePrivateKey'], message: unseeded },
        { name: 'fast-check', message: 'Import the seeded one of test/support/fast-check.ts.' },
      ],
    },
  ],
  'no-restricted-syntax': [
    'error',
    {
      selector: 'MemberExpression[property.name=/^random(PrivateKey|SecretKey)$/]',
      message: unseeded,
    },
    { selector: "Property[key.name='extraEntropy'][value.value=true]", message: unseeded },
  ],
};

export default tseslint.config(
  {
    ignores: [
      'dist/',
      'coverage/',
      'node_modules/',
      'src/wire/net_pb.ts',
      '.dependency-cruiser.cjs',
    ],
  },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/consistent-type-definitions': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      'no-console': 'error',
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true } }],
      eqeqeq: 'error',
    },
  },
  { files: ['src/pm/**/*.ts'], rules: { 'no-restricted-syntax': ['error', ...noFloatsForMoney] } },
  { files: ['examples/**/*.ts'], rules: { 'no-console': 'off' } },
  { files: ['vitest*.config.ts'], rules: { 'no-restricted-exports': 'off' } },
  { files: ['test/**/*.ts'], rules: { 'no-console': 'off', ...seededRandomness } },
  {
    files: ['test/support/draw-seed.ts', 'test/support/fast-check.ts'],
    rules: { 'no-restricted-imports': 'off' },
  },
  {
    // runs as it is inside the image
    files: ['docker/*.mjs'],
    languageOptions: {
      globals: { process: 'readonly', fetch: 'readonly', AbortSignal: 'readonly' },
    },
  },
  { files: ['bin/*.js'], languageOptions: { globals: { process: 'readonly' } } },
  {
    files: ['test/sdks/web/*.js'],
    languageOptions: { globals: { process: 'readonly', AbortController: 'readonly' } },
  },
  prettier,
);
