import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { SoftHsm } from './softhsm.ts';

// order and meaning as in pkcs11-faults.c
const entries = [
  'failFunction',
  'failCode',
  'failSkip',
  'failCount',
  'signDelayMs',
  'maxSessions',
  'tokenFlags',
  'pointForm',
  'logins',
  'openSessions',
  'signing',
  'mostSigning',
  'signatures',
  'closeSessions',
  'holdSigning',
  'releaseSigning',
  'lostCode',
  'lostAt',
  'lostUntil',
  'restarts',
  'padding',
  'hideCurve',
  'loginsWithoutPin',
  'swappedKey',
  'finalizeFails',
  'hideTokens',
] as const;

type Entry = (typeof entries)[number];

/** What makes a device that lost its sessions sign again. */
const cures = { 'closing the last session': 1, 'a restart': 2 };

export type Cure = keyof typeof cures;

const functions = { C_Login: 1, C_OpenSession: 2, C_SignInit: 3, C_Sign: 4, C_GetSlotList: 5 };

/** A PKCS#11 module around SoftHSM that misbehaves on demand. */
export type FaultyModule = {
  /** Path of the library. */
  readonly module: string;
  /** What the library and SoftHSM read from the environment. */
  readonly environment: Readonly<Record<string, string>>;
  get(entry: Entry): number;
  set(entry: Entry, value: number): void;
  /** Lets `skip` calls of a function pass and makes the next `count` return `code` (a CK_RV). */
  fail(name: keyof typeof functions, code: number, count: number, skip?: number): void;
  /**
   * The device forgets the sessions of this process: each signature fails with `code`, in `at`, until it is cured. All that
   * does not sign goes on as if nothing had happened.
   */
  lose(code: number, cure: Cure, at?: 'C_SignInit' | 'C_Sign'): void;
  /** C_Sign does not return, for calls that come from now on, until {@link FaultyModule.release}. */
  hold(): void;
  release(): void;
  /** Back to good behaviour, all counters at nought. */
  reset(): void;
};

/** Compiles the module with `cc`; throws when there is no C compiler. */
export function createFaultyModule(hsm: SoftHsm): FaultyModule {
  const module = join(hsm.directory, 'faults.so');
  const source = join(import.meta.dirname, 'pkcs11-faults.c');
  const headers = join(import.meta.dirname, '../../node_modules/pkcs11js/includes');
  const arguments_ = ['-shared', '-fPIC', '-O1', '-I', headers, '-o', module, source, '-ldl'];
  execFileSync('cc', arguments_, { stdio: 'pipe' });
  const file = join(hsm.directory, 'faults');
  writeFileSync(file, Buffer.alloc(4 * entries.length));

  const access = <T>(run: (descriptor: number) => T): T => {
    const descriptor = openSync(file, 'r+');
    try {
      return run(descriptor);
    } finally {
      closeSync(descriptor);
    }
  };
  const get = (entry: Entry): number =>
    access((descriptor) => {
      const value = Buffer.alloc(4);
      readSync(descriptor, value, 0, 4, 4 * entries.indexOf(entry));
      return value.readInt32LE();
    });
  const set = (entry: Entry, value: number): void =>
    access((descriptor) => {
      const bytes = Buffer.alloc(4);
      bytes.writeInt32LE(value);
      writeSync(descriptor, bytes, 0, 4, 4 * entries.indexOf(entry));
    });
  return {
    module,
    environment: {
      SOFTHSM2_CONF: hsm.configFile,
      PKCS11_FAULTS: file,
      PKCS11_FAULTS_MODULE: hsm.module,
      PKCS11_FAULTS_PIN: hsm.pin,
    },
    get,
    set,
    fail(name, code, count, skip = 0) {
      set('failFunction', functions[name]);
      set('failCode', code | 0);
      set('failSkip', skip);
      set('failCount', count);
    },
    lose(code, cure, at = 'C_SignInit') {
      set('lostAt', functions[at]);
      set('lostUntil', cures[cure]);
      set('lostCode', code | 0);
    },
    hold() {
      set('releaseSigning', 0);
      set('holdSigning', 1);
    },
    release() {
      set('holdSigning', 0);
      set('releaseSigning', 1);
    },
    reset: () => entries.forEach((entry) => set(entry, 0)),
  };
}
