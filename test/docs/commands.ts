import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../cli/cli.ts';
import { markdownFiles, readDocument } from './markdown.ts';

/** How a command that a document shows is held to be right. */
export type Treatment =
  | {
      /** `quick` in npm test, `long` in the long run, each in a copy of the repository */
      readonly run: 'quick' | 'long';
      /** names that stand for the reader's own, and folders of the reader's machine: `DATA` and `PREFIX` are in the copy's scratch folder */
      readonly with?: Readonly<Record<string, string>>;
      /** what it prints on either output */
      readonly prints?: RegExp;
      /** 0 unless told */
      readonly ends?: number;
      /** It goes on until it is stopped, which is done once it has printed what `prints` says. */
      readonly isEndless?: true;
    }
  | { readonly cannot: string };

const aws = { cannot: 'needs an account of AWS' };
const gcloud = { cannot: 'needs a project of Google Cloud' };
const docker = {
  cannot: 'needs a Docker engine; test/docker runs what the image and the containers run',
};
const cluster = {
  cannot: 'needs a Kubernetes cluster; test/deploy/chart renders and validates the manifests',
};
const systemd = {
  cannot: 'needs a machine whose service manager may be changed; test/deploy holds the unit',
};

const curlAddress = {
  run: 'quick',
  prints: /^\{"address":"0x[0-9a-fA-F]{40}","signature":"0x[0-9a-f]{130}"\}$/m,
} as const;
const dev = { FILE: 'config/dev.yaml', 'signer.yaml': 'config/dev.yaml' };

/** The commands beside the figures of a document: what tables have in their last cells. */
function figureCommandsOf(text: string): string[] {
  return [...text.matchAll(/\| `(npm (?:test|run) [^`]+)` \|$/gm)].map(
    ([, command = '']) => command,
  );
}

const testsPass = { run: 'long', prints: /^[1-9]\d* passed, 0 failed$/m } as const;

/** Those of docs/evidence.md that run tests: each prints how many passed. */
const figureTests = figureCommandsOf(readDocument('docs/evidence.md')).filter((command) =>
  command.startsWith('npm test -- '),
);

/** Those of it that plant mistakes. */
const mutationRuns = figureCommandsOf(readDocument('docs/evidence.md')).filter((command) =>
  command.startsWith('npm run test:mutation -- '),
);

/** Each command of README and docs, as printed there. */
export const treatments: Readonly<Record<string, Treatment>> = {
  // begin
  'npm ci && npm start': {
    run: 'long',
    prints: /listening on \S+ as 0x[0-9a-fA-F]{40}/,
    isEndless: true,
  },
  'npm ci && npm test': { cannot: 'is what runs this test: .ci/run does it in a fresh clone' },
  'npm run demo': { run: 'long', prints: /^All \d+ expectations held/m },
  "curl -w '\\n' -X POST http://127.0.0.1:7936/sign-orchestrator-info": curlAddress,
  'curl -s -X POST http://127.0.0.1:7936/sign-orchestrator-info': curlAddress,
  'sh softhsm/init-token.sh': { run: 'long' },
  'npm start -- --config config/softhsm.yaml': {
    run: 'long',
    prints: /listening on \S+ as 0x/,
    isEndless: true,
  },
  'npm run demo -- --config config/softhsm.yaml': {
    run: 'long',
    prints: /^All \d+ expectations held/m,
  },

  // install
  'npm pack && npm install -g ./livepeer-hsm-signer-0.1.0.tgz': {
    run: 'long',
    prints: /added \d+ packages/,
  },
  'npm ci && npm pack': { run: 'long', prints: /livepeer-hsm-signer-0\.1\.0\.tgz/ },
  'npm install -g ./livepeer-hsm-signer-0.1.0.tgz': {
    run: 'long',
    prints: /(?:added|changed) \d+ packages/,
  },
  'npm install -g --allow-scripts=koffi,pkcs11js,secp256k1 ./livepeer-hsm-signer-0.1.0.tgz': {
    run: 'long',
    prints: /(?:added|changed) \d+ packages/,
  },
  'livepeer-hsm-signer --version': { run: 'long', prints: /^0\.1\.0$/ },
  'livepeer-hsm-signer serve --config /etc/livepeer-hsm-signer/signer.yaml': {
    run: 'long',
    with: { '/etc/livepeer-hsm-signer/signer.yaml': 'config/dev.yaml' },
    prints: /listening on \S+ as 0x/,
    isEndless: true,
  },
  'npm pack && npm install --prefix /opt/livepeer-hsm-signer ./livepeer-hsm-signer-0.1.0.tgz @aws-sdk/client-kms':
    {
      run: 'long',
      with: { '/opt/livepeer-hsm-signer': 'PREFIX/opt' },
      prints: /added \d+ packages/,
    },
  'useradd --system --home-dir /var/lib/livepeer-hsm-signer --shell /usr/sbin/nologin livepeer-hsm-signer':
    systemd,
  'install -D -m 0644 config/aws-kms.yaml /etc/livepeer-hsm-signer/signer.yaml': {
    run: 'quick',
    with: { '/etc/livepeer-hsm-signer': 'PREFIX/etc' },
  },
  'install -m 0644 deploy/systemd/livepeer-hsm-signer.service /etc/systemd/system/': {
    run: 'quick',
    with: { '/etc/systemd/system/': 'PREFIX/' },
  },
  'systemctl daemon-reload && systemctl enable --now livepeer-hsm-signer': systemd,
  'journalctl -u livepeer-hsm-signer --since -15min | grep \'"level":[45]0\'': systemd,

  // the command line
  'npm run -s signer -- --help': { run: 'quick', prints: /Usage: livepeer-hsm-signer/ },
  'npm run -s signer -- config check --config config/dev.yaml': {
    run: 'long',
    prints: /is valid: key from local-keystore/,
  },
  'npm run -s signer -- keys show --config config/dev.yaml': { run: 'long', prints: /address 0x/ },
  'npm run -s signer -- keys check --config config/dev.yaml': { run: 'long' },
  'livepeer-hsm-signer config check --config signer.yaml': {
    run: 'long',
    with: dev,
    prints: /is valid/,
  },
  'livepeer-hsm-signer keys check --config signer.yaml': { run: 'long', with: dev },
  'livepeer-hsm-signer serve --config signer.yaml': {
    run: 'long',
    with: dev,
    prints: /listening on \S+ as 0x/,
    isEndless: true,
  },
  'livepeer-hsm-signer keys import --config signer.yaml --keystore /var/lib/livepeer/keystore/UTC--FILE':
    {
      run: 'long',
      with: {
        'signer.yaml': 'DATA/import.yaml',
        '/var/lib/livepeer/keystore/UTC--FILE': 'DATA/geth.json',
      },
      prints: /imported local-keystore/,
    },
  'livepeer-hsm-signer auth new-key --principal gateway-eu-1 --tenant acme': {
    run: 'quick',
    prints: /lhs_[A-Za-z0-9]+_/,
  },
  "livepeer-hsm-signer pause --config FILE --reason 'a laptop with a key of ours was stolen'": {
    run: 'long',
    with: dev,
  },
  "livepeer-hsm-signer pause --config FILE --reason 'why'": { run: 'long', with: dev },
  'livepeer-hsm-signer resume --config FILE': { run: 'long', with: dev },
  'npm run -s signer -- policy check config/policy.yaml': { run: 'long' },
  'npm run -s signer -- policy check --config signer.yaml': {
    run: 'long',
    with: { 'signer.yaml': 'DATA/policy-signer.yaml' },
  },
  'npm run -s signer -- policy test policy-cases.yaml': {
    run: 'long',
    with: { 'policy-cases.yaml': 'DATA/policy-cases.yaml' },
    prints: /acme may pay/,
  },
  'npm run -s signer -- policy explain request.json --config signer.yaml': {
    run: 'long',
    with: { 'request.json': 'DATA/request.json', 'signer.yaml': 'DATA/policy-signer.yaml' },
    prints: /verdict: allow/,
  },
  'npm run -s signer -- plan --sessions 100000 --interval 10s --tickets 1.5 --provider aws-kms': {
    run: 'long',
    prints: /key calls/,
  },
  'npm run -s signer -- deposit status --config FILE': {
    run: 'long',
    with: { FILE: 'DATA/no-chain.yaml' },
    ends: 2,
    prints: /chain/,
  },
  'livepeer-hsm-signer audit verify /var/lib/livepeer-hsm-signer/audit': {
    run: 'long',
    with: { '/var/lib/livepeer-hsm-signer/audit': '.dev/audit' },
    prints: /server-1/,
  },
  'mkdir -p /backup/audit && cd /var/lib/livepeer-hsm-signer/audit && cp --parents */end.json /backup/audit && cp --parents */*.jsonl /backup/audit':
    {
      run: 'long',
      with: { '/backup/audit': 'DATA/backup', '/var/lib/livepeer-hsm-signer/audit': '.dev/audit' },
    },
  'livepeer-hsm-signer audit verify /backup/audit': {
    run: 'long',
    with: { '/backup/audit': 'DATA/backup' },
    prints: /server-1/,
  },
  'livepeer-hsm-signer audit tail FOLDER -n 20 --follow': {
    run: 'long',
    with: { FOLDER: '.dev/audit' },
    prints: /\d\d:\d\d:\d\d/,
    isEndless: true,
  },
  'livepeer-hsm-signer audit export FOLDER --from 2026-11-01 --to 2026-12-01 --format csv > november.csv':
    {
      run: 'long',
      with: { FOLDER: '.dev/audit', 'november.csv': 'DATA/november.csv' },
    },

  'livepeer-hsm-signer audit verify /var/lib/livepeer-hsm-signer/audit --includes HASH': {
    run: 'long',
    with: { '/var/lib/livepeer-hsm-signer/audit': 'DATA/audit' },
    prints: /server-1/,
  },
  'livepeer-hsm-signer audit show REQUEST_ID --config FILE': {
    run: 'quick',
    with: { FILE: 'DATA/signer.yaml' },
    prints: /PRICE_ABOVE_CEILING/,
  },
  'livepeer-hsm-signer audit report FOLDER --by tenant --from 2026-11-01 --to 2026-12-01': {
    run: 'long',
    with: { FOLDER: 'DATA/audit' },
  },
  'livepeer-hsm-signer audit report FOLDER --by app --format csv > november.csv': {
    run: 'long',
    with: { FOLDER: 'DATA/audit', 'november.csv': 'DATA/report.csv' },
  },
  'livepeer-hsm-signer policy explain --config FILE --request REQUEST_ID': {
    run: 'long',
    with: { FILE: 'DATA/explain.yaml' },
    prints: /verdict/,
  },
  'npm run -s signer -- policy explain --request REQUEST_ID --config signer.yaml': {
    run: 'long',
    with: { 'signer.yaml': 'DATA/explain.yaml' },
    prints: /verdict/,
  },
  'npm run -s signer -- policy explain --request REQUEST_ID --config signer.yaml --policy wider.yaml':
    {
      run: 'long',
      with: { 'signer.yaml': 'DATA/explain.yaml', 'wider.yaml': 'DATA/policy.yaml' },
      prints: /verdict/,
    },

  // a signer that runs
  'curl -s -X POST http://127.0.0.1:7936/sign-byoc-job -H "Authorization: Bearer $KEY" -d \'{"id": "job-1", "capability": "upscaler",\n  "request": "{\\"scale\\": 2}", "parameters": "", "timeout_seconds": 300}\'':
    { run: 'quick', prints: /^\{"sender":"0x[0-9a-fA-F]{40}","signature":"0x[0-9a-f]{130}"\}$/m },
  'curl -s http://127.0.0.1:7937/readyz': { run: 'quick', prints: /"key"/ },
  "curl 'http://127.0.0.1:7936/discover-orchestrators?caps=live-video-to-video/scope'": {
    run: 'quick',
    // no orchestrator of the example is there to answer
    prints: /"message":"Service Unavailable Error"/,
  },

  // evidence
  ...Object.fromEntries(figureTests.map((command) => [command, testsPass])),
  ...Object.fromEntries(mutationRuns.map((command) => [command, { cannot: 'takes minutes' }])),
  'npm run bench:bytes': { run: 'long', prints: /^20 tickets: \d+ bytes of the audit log/m },
  'npm run docs:matrix': { run: 'quick', prints: /^\d+ faults, \d+ cells: \d+ with tests/m },

  // benches, releases
  'npm run bench': { cannot: 'takes half an hour; npm test runs its parts' },
  'npm run bench -- first-request cold-start': { cannot: 'takes minutes' },
  'npm run bench -- peer http://127.0.0.1:8935#4711': {
    cannot: 'needs another remote signer, and minutes',
  },
  'npm run bench -- throughput': { cannot: 'takes minutes; npm test runs its parts' },
  'npm version --no-git-tag-version 0.2.0': {
    cannot: 'changes what all the other commands name; npm’s own',
  },
  '.ci/run': { cannot: 'is what runs this test' },
  'npm run test:long': { cannot: 'is what runs the long part of this test' },
  'npm run sbom -- sbom.cdx.json': {
    run: 'long',
    with: { 'sbom.cdx.json': 'DATA/sbom.cdx.json' },
    prints: /0 with a licence/,
  },
  'npm pack': { run: 'long', prints: /livepeer-hsm-signer-0\.1\.0\.tgz/ },
  'helm package --destination chart deploy/helm/livepeer-hsm-signer': {
    run: 'long',
    prints: /Successfully packaged chart/,
  },

  // containers
  'docker build -t livepeer-hsm-signer:0.2.0 .': docker,
  'docker build --build-arg PROVIDERS="aws-kms" -t livepeer-hsm-signer .': docker,
  'docker run --read-only --cap-drop ALL -p 127.0.0.1:7936:7936 \\\n  -v ./signer.yaml:/etc/livepeer-hsm-signer/signer.yaml:ro -v signer-data:/var/lib/livepeer-hsm-signer livepeer-hsm-signer':
    docker,
  'docker compose --profile softhsm up --build': docker,
  'docker compose --profile aws up --build': docker,
  'ADMIN_TOKEN="$(openssl rand -hex 32)" docker compose --profile full up --build': docker,
  'docker build -t registry.example/livepeer-hsm-signer:0.1.0 . && docker push registry.example/livepeer-hsm-signer:0.1.0':
    docker,
  'kubectl create secret generic livepeer-admin --from-literal=token="$(openssl rand -hex 32)"':
    cluster,
  'helm install signer deploy/helm/livepeer-hsm-signer --values my-values.yaml --set image.repository=registry.example/livepeer-hsm-signer':
    cluster,

  // clouds
  "aws kms create-key --region eu-central-1 \\\n  --key-spec ECC_SECG_P256K1 --key-usage SIGN_VERIFY --multi-region \\\n  --description 'Livepeer payment key'":
    aws,
  'aws kms create-alias --region eu-central-1 \\\n  --alias-name alias/livepeer-payer --target-key-id KEY_ID':
    aws,
  'aws kms replicate-key --region eu-central-1 \\\n  --key-id mrk-1234abcd12ab34cd56ef1234567890ab --replica-region eu-west-1':
    aws,
  'gcloud services enable cloudkms.googleapis.com': gcloud,
  'gcloud kms keyrings create livepeer --location europe-west3': gcloud,
  'gcloud kms keys create payer --keyring livepeer --location europe-west3 \\\n  --purpose asymmetric-signing --default-algorithm ec-sign-secp256k1-sha256 \\\n  --protection-level hsm --destroy-scheduled-duration 120d':
    gcloud,
  'for role in roles/cloudkms.signer roles/cloudkms.publicKeyViewer roles/cloudkms.viewer; do\n  gcloud kms keys add-iam-policy-binding payer --keyring livepeer --location europe-west3 \\\n    --member serviceAccount:signer@my-project.iam.gserviceaccount.com --role "$role"\ndone':
    gcloud,
  'npm install livepeer-remote-signer-client': {
    cannot: 'is not published yet; test/client installs it from the repository',
  },
  'openapi-python-client generate --path docs/openapi.json': {
    cannot: 'is a program of Python; test/api runs the client that it makes',
  },
  "curl -s http://127.0.0.1:7937/pause --data-urlencode 'reason=who is this?' --data confirm=yes": {
    cannot: 'would stop the signer of the other commands; test/api and test/admin send it',
  },
  'livepeer-hsm-signer ledger export --config embedded.yaml > ledger.jsonl': {
    cannot: 'needs a ledger with spending; test/policy/limits moves one there and back',
  },
  'livepeer-hsm-signer ledger import ledger.jsonl --config redis.yaml': {
    cannot: 'needs a Redis; test/policy/limits moves a ledger there and back',
  },
};

/** The commands of a shell block: lines, joined where one ends with a backslash, opens a quote or begins a loop. */
function commandsOf(block: string): string[] {
  const commands: string[] = [];
  let open = '';
  for (const line of block.split('\n')) {
    open = open === '' ? line : `${open}\n${line}`;
    const quotes = open.replaceAll(/'[^']*'|"(?:[^"\\]|\\.)*"/g, '');
    const isLoop = open.startsWith('for ') && !open.endsWith('\ndone');
    if (open.endsWith('\\') || /['"]/.test(quotes) || isLoop) continue;
    if (open.trim() !== '' && !open.startsWith('#')) commands.push(open);
    open = '';
  }
  return open === '' ? commands : [...commands, open];
}

/** What README, docs and the pages of parts of the repository show in blocks of shell, each once. */
export const documentedCommands: readonly { readonly command: string; readonly file: string }[] = [
  ...new Map(
    [...markdownFiles, 'client/README.md'].flatMap((file) =>
      [
        ...[...readDocument(file).matchAll(/^```(?:sh|bash|shell|console)\n(.*?)^```$/gms)].flatMap(
          ([, block = '']) => commandsOf(block),
        ),
        ...figureCommandsOf(readDocument(file)),
      ].map((command) => [command, { command, file }] as const),
    ),
  ).values(),
];

/** What a command that can't run here names of this repository and is not there: files, npm scripts. */
export function missingOf(command: string): string[] {
  const files =
    command.match(/(?<![\w/.-])(?:config|deploy|docs|docker|softhsm|test)\/[\w./-]+/g) ?? [];
  const scripts = [...command.matchAll(/npm run (?:-s )?([\w:-]+)/g)].map(
    ([, script = '']) => script,
  );
  const known = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const profiles = [...command.matchAll(/--profile (\w+)/g)].map(([, profile = '']) => profile);
  const compose = readFileSync(join(root, 'docker-compose.yml'), 'utf8');
  return [
    ...files.filter((file) => !existsSync(join(root, file))),
    ...scripts.filter((script) => !known.scripts[script]),
    ...profiles.filter((profile) => !compose.includes(`profiles: [${profile}]`)),
  ];
}
