import { AwsKmsWireServer } from '../support/aws-kms-wire-server.ts';
import { FaultyLink, type LinkState } from '../support/faulty-link.ts';
import { startGcpKmsWireServer } from '../support/gcp-kms-wire-server.ts';
import { P11KitServer } from '../support/p11-kit-server.ts';
import { createFaultyModule } from '../support/pkcs11-faults.ts';
import {
  awsKmsKey,
  createTokenWithKey,
  gcpKmsKey,
  pkcs11Key,
  type SignerKey,
} from '../support/signer-key.ts';
import { createRandom } from '../support/random.ts';

/** A signer's key, the peer that holds it, and what goes wrong with that peer. */
export type Scenario = {
  /** The key; with several providers of it, the preferred one first. */
  readonly keys: readonly SignerKey[];
  begin(): Promise<void> | void;
  end(): Promise<void> | void;
  /** How often the fault has been met so far. */
  met(): number;
  /** Whether calls go their usual way again; not asked where there is one way only. */
  isBack?(): boolean;
  close(): Promise<void> | void;
};

export type ChaosCase = {
  readonly fault: string;
  /** How long the fault lasts in a run of full size; 20 s where the fault is one that a service lives with. */
  readonly fullFaultMs: number;
  start(): Promise<Scenario>;
};

/** Faults that no operator escapes. */
export const chaosCases: readonly ChaosCase[] = [
  { fault: 'AWS KMS throttles 30 %', fullFaultMs: 20_000, start: throttledAws },
  {
    fault: 'AWS KMS connections reset',
    fullFaultMs: 2_000,
    start: () => disturbedAws('resetting'),
  },
  { fault: 'GCP KMS wrong checksum on 10 %', fullFaultMs: 20_000, start: damagedGcp },
  {
    fault: 'GCP KMS connections reset',
    fullFaultMs: 2_000,
    start: () => disturbedGcp('resetting'),
  },
  { fault: 'SoftHSM sessions closed underneath', fullFaultMs: 20_000, start: closedSessions },
  { fault: 'p11-kit server killed and restarted', fullFaultMs: 2_000, start: killedServer },
  { fault: 'first of two fail-over providers down', fullFaultMs: 20_000, start: firstProviderDown },
];

/** For runs of full size only. */
export const slowChaosCases: readonly ChaosCase[] = [
  {
    fault: 'AWS KMS connections forgotten',
    fullFaultMs: 2_000,
    start: () => disturbedAws('silent'),
  },
  {
    fault: 'GCP KMS connections forgotten',
    fullFaultMs: 2_000,
    start: () => disturbedGcp('silent'),
  },
];

async function throttledAws(): Promise<Scenario> {
  const server = await AwsKmsWireServer.start();
  const throttle = (fraction: number): void =>
    server.setFault('Sign', { kind: 'throttle', fraction });
  return {
    keys: [awsKmsKey(server)],
    begin: () => throttle(0.3),
    end: () => throttle(0),
    met: () => server.throttled,
    close: () => server.close(),
  };
}

async function disturbedAws(state: LinkState): Promise<Scenario> {
  const server = await AwsKmsWireServer.start();
  const link = await FaultyLink.open(portOf(server.endpoint));
  return {
    keys: [awsKmsKey(server, `http://127.0.0.1:${link.port}`)],
    begin: () => link.set(state),
    end: () => link.set('up'),
    met: () => link.cut,
    close: async () => {
      await link.close();
      await server.close();
    },
  };
}

async function damagedGcp(): Promise<Scenario> {
  const server = await startGcpKmsWireServer();
  return {
    keys: [gcpKmsKey(server)],
    begin: () => void (server.wrongChecksumShare = 0.1),
    end: () => void (server.wrongChecksumShare = 0),
    met: () => server.damagedCount,
    close: () => server.close(),
  };
}

async function disturbedGcp(state: LinkState): Promise<Scenario> {
  const server = await startGcpKmsWireServer();
  const link = await FaultyLink.open(portOf(server.endpoint));
  return {
    keys: [gcpKmsKey(server, `localhost:${link.port}`)],
    begin: () => link.set(state),
    end: () => link.set('up'),
    met: () => link.cut,
    close: async () => {
      await link.close();
      await server.close();
    },
  };
}

function portOf(endpoint: string): number {
  return Number(endpoint.slice(endpoint.lastIndexOf(':') + 1));
}

/** Two servers with one key, as replicas of it in two Regions are. */
async function firstProviderDown(): Promise<Scenario> {
  const privateKey = createRandom('key of two Regions').privateKey();
  const first = await startGcpKmsWireServer({ privateKey });
  const second = await startGcpKmsWireServer({ privateKey });
  const link = await FaultyLink.open(portOf(first.endpoint));
  let signedBeforeEnd = Infinity;
  return {
    keys: [gcpKmsKey(first, `localhost:${link.port}`), gcpKmsKey(second)],
    begin: () => link.set('down'),
    end: async () => {
      signedBeforeEnd = first.signCount;
      await link.set('up');
    },
    met: () => second.signCount,
    isBack: () => first.signCount > signedBeforeEnd,
    close: async () => {
      await link.close();
      await Promise.all([first.close(), second.close()]);
    },
  };
}

const closeEveryMs = 500;

function closedSessions(): Promise<Scenario> {
  const hsm = createTokenWithKey();
  const module = createFaultyModule(hsm);
  let timer: NodeJS.Timeout | undefined;
  let loginsBefore = 0;
  return Promise.resolve({
    keys: [pkcs11Key(hsm, module)],
    begin: () => {
      loginsBefore = module.get('logins');
      timer = setInterval(() => module.set('closeSessions', 1), closeEveryMs);
    },
    end: () => clearInterval(timer),
    met: () => module.get('logins') - loginsBefore,
    close: () => hsm.remove(),
  });
}

async function killedServer(): Promise<Scenario> {
  const hsm = createTokenWithKey();
  const server = new P11KitServer(hsm);
  await server.start();
  let kills = 0;
  return {
    keys: [pkcs11Key(hsm, server)],
    begin: async () => {
      await server.kill();
      kills += 1;
    },
    end: () => server.start(),
    met: () => kills,
    close: async () => {
      await server.kill();
      hsm.remove();
    },
  };
}
