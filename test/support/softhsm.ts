import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const modulePaths = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
];

/** A SoftHSM store in a folder of its own, with one token. */
export type SoftHsm = {
  /** Path of libsofthsm2.so. */
  readonly module: string;
  readonly directory: string;
  /** What SOFTHSM2_CONF must say. */
  readonly configFile: string;
  readonly tokenLabel: string;
  readonly pin: string;
  /** Adds a token to the store. */
  addToken(label: string): void;
  /** Runs pkcs11-tool on the store (OpenSC), logged in to `token`; returns what it printed. */
  pkcs11Tool(arguments_: readonly string[], token?: string): string;
  /** Makes a key pair with pkcs11-tool, `EC:secp256k1` unless told; `id` is hex. */
  makeKey(key: { label: string; id: string; type?: string; extractable?: boolean }): void;
  remove(): void;
};

/** Makes a SoftHSM store with one token. Throws, naming what to install, where softhsm2 or OpenSC is missing. */
export function createSoftHsm(tokenLabel = 'livepeer', pin = '24680'): SoftHsm {
  const module = modulePaths.find((path) => existsSync(path));
  if (module === undefined || !isInstalled('softhsm2-util', '--version')) {
    throw new Error('these tests need SoftHSM 2: install it, e.g. apt-get install softhsm2');
  }
  const directory = mkdtempSync(join(tmpdir(), 'livepeer-hsm-signer-softhsm-'));
  const configFile = join(directory, 'softhsm2.conf');
  const tokens = join(directory, 'tokens');
  mkdirSync(tokens);
  writeFileSync(
    configFile,
    `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n`,
  );
  const env = { ...process.env, SOFTHSM2_CONF: configFile };

  const addToken = (label: string): void => {
    const names = ['--init-token', '--free', '--label', label, '--pin', pin, '--so-pin', '13579'];
    execFileSync('softhsm2-util', names, { env, stdio: 'pipe' });
  };
  const pkcs11Tool = (arguments_: readonly string[], token = tokenLabel): string => {
    if (!isInstalled('pkcs11-tool', '--help')) {
      throw new Error(
        'these tests need OpenSC’s pkcs11-tool: install it, e.g. apt-get install opensc',
      );
    }
    const access = ['--module', module, '--token-label', token, '--login', '--pin', pin];
    return execFileSync('pkcs11-tool', [...access, ...arguments_], {
      env,
      stdio: 'pipe',
      encoding: 'utf8',
    });
  };

  addToken(tokenLabel);
  return {
    module,
    directory,
    configFile,
    tokenLabel,
    pin,
    addToken,
    pkcs11Tool,
    makeKey({ label, id, type = 'EC:secp256k1', extractable = false }) {
      const key = ['--keypairgen', '--key-type', type, '--label', label, '--id', id];
      pkcs11Tool([...key, ...(extractable ? ['--extractable'] : [])]);
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

function isInstalled(program: string, harmlessArgument: string): boolean {
  try {
    execFileSync(program, [harmlessArgument], { stdio: 'ignore' });
    return true;
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ENOENT');
  }
}
