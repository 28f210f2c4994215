import { createRequire } from 'node:module';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import * as protoLoader from '@grpc/proto-loader';
import { secp256k1 } from '@noble/curves/secp256k1';
import { createRandom } from './random.ts';

const random = createRandom('GCP KMS');

/** What can go wrong; a number says for how many of the next replies (`Infinity`: until it is set to 0 again). */
export type KmsFaults = {
  /** Signing calls after which every connection is cut, without an answer. */
  dropConnection: number;
  /** Signatures made by a key of which nobody knows. */
  wrongKey: number;
  /** Signatures with the high of the two possible values of s. */
  highS: number;
  /** Signatures that are no DER; their checksum is right. */
  malformedDer: number;
  wrongSignatureChecksum: number;
  digestNotVerified: number;
  /** Replies of any method that name another key version. */
  wrongName: number;
  wrongPublicKeyChecksum: number;
  /** Replies of any method from which all fields are missing. */
  emptyReply: number;
};

export type KmsKeyVersion = {
  readonly privateKey: Uint8Array;
  state: string;
  algorithm: string;
  protectionLevel: string;
  importJob: string;
  /** `getCryptoKeyVersion` replies that still say PENDING_GENERATION. */
  pendingReplies: number;
};

export type GcpKmsWireServer = {
  /** `host:port`. */
  readonly endpoint: string;
  /** The key version that exists from the start. */
  readonly keyVersion: string;
  /** Its public key, uncompressed, 65 bytes. */
  readonly publicKey: Uint8Array;
  /** All versions by name; change their attributes to break them. */
  readonly versions: Map<string, KmsKeyVersion>;
  /** Set what should go wrong. */
  readonly faults: KmsFaults;
  /** Time until a signature is answered, in milliseconds. */
  delayMs: number;
  /** The share of signing calls that is answered RESOURCE_EXHAUSTED, evenly spread, 0 to 1. */
  throttledShare: number;
  /** The share of signatures that come with a wrong checksum, evenly spread, 0 to 1. */
  wrongChecksumShare: number;
  /** How many `getCryptoKeyVersion` replies say PENDING_GENERATION about a key made from now on. */
  pendingReplies: number;
  /** Signatures made, i.e. what Google would bill and log, answered or not. */
  readonly signCount: number;
  /** Signatures that came with a wrong checksum because of `wrongChecksumShare`. */
  readonly damagedCount: number;
  /** Every request in the order of its arrival. */
  readonly requests: readonly KmsRequest[];
  /** Requests that their client cancelled. */
  readonly cancelledCount: number;
  /** Answers the next calls of a method with these codes. */
  failNext(method: string, ...codes: readonly grpc.status[]): void;
  /** Cuts all connections. */
  dropConnections(): void;
  close(): Promise<void>;
};

export type KmsRequest = {
  readonly method: string;
  readonly atMs: number;
  readonly metadata: Readonly<Record<string, unknown>>;
};

type Checksum = { readonly value: string | number };
type SignRequest = {
  readonly name: string;
  readonly digest: { readonly sha256?: Uint8Array } | null;
  readonly digestCrc32c: Checksum | null;
};
type CreateRequest = {
  readonly parent: string;
  readonly cryptoKeyId: string;
  readonly cryptoKey: {
    readonly purpose: string;
    readonly versionTemplate: { readonly algorithm: string; readonly protectionLevel: string };
  };
};

const keyRing = 'projects/test-project/locations/europe-west3/keyRings/livepeer';
const generatedAtSeconds = 1_790_000_000;
const spkiPrefix = Buffer.from('3056301006072a8648ce3d020106052b8104000a034200', 'hex');

/**
 * A server that speaks Cloud KMS's own gRPC protocol, made from the protocol description in the client package, with a real
 * secp256k1 key and real checksums, and faults to switch on. On a loopback port; with TLS when given a certificate.
 */
export async function startGcpKmsWireServer(
  options: {
    readonly privateKey?: Uint8Array;
    readonly tls?: { readonly certificate: string; readonly privateKey: string };
  } = {},
): Promise<GcpKmsWireServer> {
  const privateKey = options.privateKey ?? random.privateKey();
  const keyVersion = `${keyRing}/cryptoKeys/payer/cryptoKeyVersions/1`;
  const versions = new Map([[keyVersion, newVersion(privateKey)]]);
  const faults: KmsFaults = {
    dropConnection: 0,
    wrongKey: 0,
    highS: 0,
    malformedDer: 0,
    wrongSignatureChecksum: 0,
    digestNotVerified: 0,
    wrongName: 0,
    wrongPublicKeyChecksum: 0,
    emptyReply: 0,
  };
  const failures = new Map<string, grpc.status[]>();
  const requests: KmsRequest[] = [];
  let signCount = 0;
  let cancelledCount = 0;
  let throttling = 0;
  let damaging = 0;
  let damagedCount = 0;
  const sockets = new Set<Socket>();

  const isFaulty = (fault: keyof KmsFaults): boolean => {
    if (faults[fault] === 0) return false;
    faults[fault] -= 1;
    return true;
  };
  const throttle = (): void => {
    throttling += state.throttledShare;
    if (throttling < 1) return;
    throttling -= 1;
    fail(grpc.status.RESOURCE_EXHAUSTED, 'Quota exceeded.');
  };
  const isDamaged = (): boolean => {
    damaging += state.wrongChecksumShare;
    if (damaging < 1) return false;
    damaging -= 1;
    damagedCount += 1;
    return true;
  };
  const nameOf = (name: string): string =>
    isFaulty('wrongName') ? name.replace(/\d+$/, (version) => `${version}7`) : name;
  const find = (name: string): KmsKeyVersion =>
    versions.get(name) ?? fail(grpc.status.NOT_FOUND, `CryptoKeyVersion ${name} not found.`);
  const findEnabled = (name: string): KmsKeyVersion => {
    const version = find(name);
    if (version.state !== 'ENABLED') {
      fail(
        grpc.status.FAILED_PRECONDITION,
        `${name} is not enabled, current state is: ${version.state}.`,
      );
    }
    return version;
  };

  const methods = {
    getCryptoKeyVersion: ({ name }: { readonly name: string }) => {
      const version = find(name);
      const isPending = version.pendingReplies > 0;
      if (isPending) version.pendingReplies -= 1;
      return {
        name: nameOf(name),
        state: isPending ? 'PENDING_GENERATION' : version.state,
        algorithm: version.algorithm,
        protectionLevel: version.protectionLevel,
        importJob: version.importJob,
        createTime: { seconds: generatedAtSeconds - 5 },
        ...(isPending
          ? {}
          : {
              generateTime: { seconds: generatedAtSeconds },
              attestation: { format: 'CAVIUM_V2_COMPRESSED', content: Buffer.from('attestation') },
            }),
      };
    },
    getPublicKey: ({ name }: { readonly name: string }) => {
      const { privateKey: scalar, algorithm, protectionLevel } = findEnabled(name);
      const pem = pemOf(secp256k1.getPublicKey(scalar, false));
      const checksum = crc32c(Buffer.from(pem));
      return {
        name: nameOf(name),
        pem,
        pemCrc32c: { value: isFaulty('wrongPublicKeyChecksum') ? damaged(checksum) : checksum },
        algorithm,
        protectionLevel,
      };
    },
    asymmetricSign: ({ name, digest, digestCrc32c }: SignRequest) => {
      const { privateKey: scalar, protectionLevel } = findEnabled(name);
      const sha256 = digest?.sha256;
      if (sha256?.length !== 32) {
        return fail(grpc.status.INVALID_ARGUMENT, 'digest.sha256 must have 32 bytes.');
      }
      if (digestCrc32c !== null && Number(digestCrc32c.value) !== crc32c(sha256)) {
        return fail(grpc.status.INVALID_ARGUMENT, 'The checksum does not match the digest.');
      }
      signCount += 1;
      const signer = isFaulty('wrongKey') ? random.privateKey() : scalar;
      const signature = isFaulty('malformedDer')
        ? Buffer.from('3006020101020101ff', 'hex')
        : sign(sha256, signer, isFaulty('highS'));
      const checksum = crc32c(signature);
      return {
        name: nameOf(name),
        signature,
        signatureCrc32c: {
          value: isFaulty('wrongSignatureChecksum') || isDamaged() ? damaged(checksum) : checksum,
        },
        verifiedDigestCrc32c: digestCrc32c !== null && !isFaulty('digestNotVerified'),
        protectionLevel,
      };
    },
    createCryptoKey: ({ parent, cryptoKeyId, cryptoKey }: CreateRequest) => {
      if (parent !== keyRing) fail(grpc.status.NOT_FOUND, `KeyRing ${parent} not found.`);
      const name = `${parent}/cryptoKeys/${cryptoKeyId}`;
      if (versions.has(`${name}/cryptoKeyVersions/1`)) {
        fail(grpc.status.ALREADY_EXISTS, `CryptoKey ${name} already exists.`);
      }
      const { algorithm, protectionLevel } = cryptoKey.versionTemplate;
      if (cryptoKey.purpose !== 'ASYMMETRIC_SIGN' || protectionLevel !== 'HSM') {
        fail(grpc.status.INVALID_ARGUMENT, `${algorithm} can't be had like this.`);
      }
      versions.set(`${name}/cryptoKeyVersions/1`, {
        ...newVersion(random.privateKey()),
        algorithm,
        pendingReplies: state.pendingReplies,
      });
      return { name, purpose: cryptoKey.purpose };
    },
  };

  const handler =
    <Request>(method: string, handle: (request: Request) => object) =>
    (call: grpc.ServerUnaryCall<Request, object>, callback: grpc.sendUnaryData<object>): void => {
      requests.push({ method, atMs: performance.now(), metadata: call.metadata.getMap() });
      let isAnswered = false;
      call.on('cancelled', () => {
        if (!isAnswered) cancelledCount += 1;
      });
      const isSigning = method === 'asymmetricSign';
      const answer = (): void => {
        isAnswered = true;
        try {
          const failure = failures.get(method)?.shift();
          if (failure !== undefined) fail(failure, `made to fail, reason ${failure}`);
          if (isSigning) throttle();
          const reply = handle(call.request);
          if (isSigning && isFaulty('dropConnection')) dropConnections();
          else callback(null, isFaulty('emptyReply') ? {} : reply);
        } catch (error) {
          callback(error as grpc.ServiceError);
        }
      };
      if (isSigning && state.delayMs > 0) setTimeout(answer, state.delayMs).unref();
      else answer();
    };

  const server = new grpc.Server();
  server.addService(
    loadService(),
    Object.fromEntries(
      Object.entries(methods).map(([method, handle]) => [
        method,
        handler(method, handle as (request: unknown) => object),
      ]),
    ),
  );
  const backendPort = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', credentials(options.tls), (error, port) =>
      error ? reject(error) : resolve(port),
    ),
  );
  const proxy = createServer((client) => {
    const backend = connect(backendPort, '127.0.0.1');
    for (const [socket, other] of [
      [client, backend],
      [backend, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));

  function dropConnections(): void {
    for (const socket of sockets) socket.destroy();
  }

  const state: GcpKmsWireServer = {
    endpoint: `localhost:${(proxy.address() as AddressInfo).port}`,
    keyVersion,
    publicKey: secp256k1.getPublicKey(privateKey, false),
    versions,
    faults,
    delayMs: 0,
    throttledShare: 0,
    wrongChecksumShare: 0,
    pendingReplies: 2,
    get signCount() {
      return signCount;
    },
    get damagedCount() {
      return damagedCount;
    },
    requests,
    get cancelledCount() {
      return cancelledCount;
    },
    failNext: (method, ...codes) => {
      failures.set(method, [...(failures.get(method) ?? []), ...codes]);
    },
    dropConnections,
    close: async () => {
      dropConnections();
      server.forceShutdown();
      await new Promise((resolve) => proxy.close(resolve));
    },
  };
  return state;
}

function newVersion(privateKey: Uint8Array): KmsKeyVersion {
  return {
    privateKey,
    state: 'ENABLED',
    algorithm: 'EC_SIGN_SECP256K1_SHA256',
    protectionLevel: 'HSM',
    importJob: '',
    pendingReplies: 0,
  };
}

function loadService(): grpc.ServiceDefinition {
  const description: unknown = createRequire(import.meta.url)(
    '@google-cloud/kms/build/protos/protos.json',
  );
  const definitions = protoLoader.fromJSON(description as never, {
    longs: String,
    enums: String,
    defaults: true,
  });
  return definitions['google.cloud.kms.v1.KeyManagementService'] as grpc.ServiceDefinition;
}

function credentials(
  tls: { readonly certificate: string; readonly privateKey: string } | undefined,
): grpc.ServerCredentials {
  if (tls === undefined) return grpc.ServerCredentials.createInsecure();
  return grpc.ServerCredentials.createSsl(null, [
    { cert_chain: Buffer.from(tls.certificate), private_key: Buffer.from(tls.privateKey) },
  ]);
}

function fail(code: grpc.status, details: string): never {
  throw Object.assign(new Error(details), { code, details });
}

/** Signs with fresh randomness each time, as an HSM does. */
function sign(digest: Uint8Array, privateKey: Uint8Array, isHigh: boolean): Uint8Array {
  const low = secp256k1.sign(digest, privateKey, { extraEntropy: random.bytes(32) });
  const { r, s } = low;
  return (isHigh ? new secp256k1.Signature(r, secp256k1.CURVE.n - s) : low).toDERRawBytes();
}

function pemOf(publicKey: Uint8Array): string {
  const base64 = Buffer.concat([spkiPrefix, publicKey]).toString('base64');
  return `-----BEGIN PUBLIC KEY-----\n${base64.replaceAll(/.{64}/g, '$&\n')}\n-----END PUBLIC KEY-----\n`;
}

function damaged(checksum: number): number {
  return (checksum ^ 1) >>> 0;
}

const crc32cTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let entry = byte;
  for (let bit = 0; bit < 8; bit += 1) entry = entry & 1 ? (entry >>> 1) ^ 0x82f63b78 : entry >>> 1;
  return entry;
});

/** By table, so that it shares nothing with the plugin's own. */
function crc32c(bytes: Uint8Array): number {
  const remainder = bytes.reduce(
    (sum, byte) => (sum >>> 8) ^ (crc32cTable[(sum ^ byte) & 0xff] ?? 0),
    0xffffffff,
  );
  return (remainder ^ 0xffffffff) >>> 0;
}
