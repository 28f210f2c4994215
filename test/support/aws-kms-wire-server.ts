import {
  createHash,
  createHmac,
  createPublicKey,
  type KeyObject,
  timingSafeEqual,
} from 'node:crypto';
import { once } from 'node:events';
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { p256 } from '@noble/curves/nist';
import { secp256k1 } from '@noble/curves/secp256k1';
import { generate } from 'selfsigned';
import { createRandom } from './random.ts';

const random = createRandom('AWS KMS');

/** What the server does instead of answering as it should. */
export type Fault =
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'hold'; readonly until: Promise<unknown> }
  /** Answers as AWS does when it refuses, by the exception's name. */
  | {
      readonly kind: 'exception';
      readonly name: string;
      readonly status?: number;
      readonly message?: string;
    }
  /** Throttles this part of the requests, evenly spread. */
  | { readonly kind: 'throttle'; readonly fraction: number }
  | { readonly kind: 'connection reset' }
  | { readonly kind: 'body'; readonly status: number; readonly body: string }
  /** Changes fields of the right reply. */
  | { readonly kind: 'reply'; readonly fields: Readonly<Record<string, unknown>> };

type KeyOptions = {
  readonly spec?: 'ECC_SECG_P256K1' | 'ECC_NIST_P256';
  readonly usage?: 'SIGN_VERIFY' | 'KEY_AGREEMENT';
  /** Primary key of a multi-Region key. */
  readonly multiRegion?: boolean;
};

type Key = Required<KeyOptions> & {
  readonly arn: string;
  readonly id: string;
  readonly publicKey: KeyObject;
  readonly privateKey: Uint8Array;
  state: string;
};

type Reply = Readonly<Record<string, unknown>>;

export type AwsKmsWireServerOptions = {
  /** Sign requests in any one second, above which it throttles. */
  readonly signQuotaPerSecond?: number;
  /** Serve HTTPS with a certificate made for this server. */
  readonly tls?: boolean;
};

const accountId = '111122223333';
const region = 'eu-central-1';
/** What AWS allows a request's time to differ from its own. */
const allowedSkewMs = 300_000;
const serviceTarget = 'TrentService.';

class AwsException extends Error {
  readonly status: number;

  constructor(name: string, message: string, status = 400) {
    super(message);
    this.name = name;
    this.status = status;
  }
}

/**
 * A peer that speaks AWS JSON 1.1 as KMS does, for one account and Region: it checks every request's Signature Version 4,
 * holds real keys, signs with fresh randomness and with high S as often as with low, and can be told to misbehave.
 */
export class AwsKmsWireServer {
  readonly region = region;
  /** What the SDK has to find in its environment. */
  readonly credentials = {
    accessKeyId: `AKIA${random.hex(8).toUpperCase()}`,
    secretAccessKey: Buffer.from(random.bytes(30)).toString('base64'),
    sessionToken: Buffer.from(random.bytes(90)).toString('base64'),
  };
  /** How far its clock is ahead of this machine's, and the exception for requests that are more than 5 minutes from it. */
  clock = { aheadMs: 0, refusal: 'InvalidSignatureException' };
  /** Requests that came, by operation; refused ones are counted too. */
  readonly requests: Record<string, number> = {};
  /** Sign requests that were answered with a signature. */
  signatures = 0;
  /** Requests answered with ThrottlingException. */
  throttled = 0;
  /** Requests that have come and are not answered yet. */
  underWay = 0;
  /** The most requests that were under way at once. */
  mostUnderWay = 0;
  /** Connections that were opened to it. */
  connections = 0;
  /** PEM of the certificate; empty when the server speaks no TLS. */
  readonly certificate: string;

  readonly #options: AwsKmsWireServerOptions;
  readonly #keys = new Map<string, Key>();
  readonly #aliases = new Map<string, Key>();
  readonly #faults = new Map<string, { fault: Fault; times: number }>();
  readonly #signedAtMs: number[] = [];
  readonly #server: Server;
  #throttleDebt = 0;

  private constructor(options: AwsKmsWireServerOptions, server: Server, certificate: string) {
    this.#options = options;
    this.#server = server;
    this.certificate = certificate;
    server.on('connection', () => (this.connections += 1));
    server.on('request', (request, response) => void this.#serve(request, response));
  }

  /** Starts one on a free port of this machine. */
  static async start(options: AwsKmsWireServerOptions = {}): Promise<AwsKmsWireServer> {
    const identity = options.tls === true ? await makeIdentity() : undefined;
    const server = identity === undefined ? createHttpServer() : createHttpsServer(identity);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new AwsKmsWireServer(options, server, identity?.cert ?? '');
  }

  get endpoint(): string {
    const { port } = this.#server.address() as AddressInfo;
    return this.certificate === '' ? `http://127.0.0.1:${port}` : `https://localhost:${port}`;
  }

  /** Makes a key and returns its ARN. */
  createKey(options: KeyOptions = {}): string {
    const { spec = 'ECC_SECG_P256K1', usage = 'SIGN_VERIFY', multiRegion = false } = options;
    const privateKey = random.privateKey();
    const id = multiRegion ? `mrk-${random.hex(16)}` : randomId();
    const arn = `arn:aws:kms:${region}:${accountId}:key/${id}`;
    this.#keys.set(arn, {
      spec,
      usage,
      multiRegion,
      arn,
      id,
      publicKey: publicKeyOf(privateKey, spec),
      privateKey,
      state: 'Enabled',
    });
    return arn;
  }

  /** Points `alias/NAME` to a key, also when it stood for another one. */
  setAlias(alias: string, arn: string): void {
    this.#aliases.set(alias, this.#find(arn));
  }

  setKeyState(arn: string, state: string): void {
    this.#find(arn).state = state;
  }

  /** The key's public key as a SEC1 point of 65 bytes. */
  publicKeyOf(arn: string): Uint8Array {
    return secp256k1.getPublicKey(this.#find(arn).privateKey, false);
  }

  /** The key's public key as a DER SubjectPublicKeyInfo. */
  spkiOf(arn: string): Buffer {
    return this.#find(arn).publicKey.export({ format: 'der', type: 'spki' });
  }

  /** The key's KeyMetadata as DescribeKey gives it. */
  metadataOf(arn: string): Reply {
    return metadataOf(this.#find(arn));
  }

  /** Signs as KMS does: randomised, DER, S as it comes. */
  signatureBy(arn: string, digest: Uint8Array): Uint8Array {
    const { privateKey } = this.#find(arn);
    return secp256k1
      .sign(digest, privateKey, { lowS: false, extraEntropy: random.bytes(32) })
      .toDERRawBytes();
  }

  /** Has the next `times` requests of an operation, all of them when left out, meet a fault. */
  setFault(operation: string, fault: Fault, times = Infinity): void {
    this.#faults.set(operation, { fault, times });
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    response.setHeader('date', new Date(Date.now() + this.clock.aheadMs).toUTCString());
    try {
      const body = await text(request);
      await this.#answer(request, body, response);
    } catch (error) {
      if (!(error instanceof AwsException)) {
        request.socket.destroy();
        return;
      }
      if (error.name === 'ThrottlingException') this.throttled += 1;
      send(response, error.status, { __type: error.name, message: error.message });
    } finally {
      this.underWay -= 1;
    }
  }

  async #answer(request: IncomingMessage, body: string, response: ServerResponse): Promise<void> {
    const target = headerOf(request, 'x-amz-target');
    if (!target.startsWith(serviceTarget)) throw new AwsException('UnknownOperationException', '');
    const operation = target.slice(serviceTarget.length);
    this.requests[operation] = (this.requests[operation] ?? 0) + 1;
    this.#authenticate(request, body);

    const fault = this.#takeFault(operation);
    switch (fault?.kind) {
      case 'delay':
        await sleep(fault.ms, undefined, { ref: false });
        break;
      case 'hold':
        await fault.until;
        break;
      case 'exception':
        throw new AwsException(fault.name, fault.message ?? 'told to fail', fault.status);
      case 'throttle':
        this.#throttleDebt += fault.fraction;
        if (this.#throttleDebt >= 1) {
          this.#throttleDebt -= 1;
          throw new AwsException('ThrottlingException', 'Rate exceeded');
        }
        break;
      case 'connection reset':
        request.socket.resetAndDestroy();
        return;
      case 'body':
        response.writeHead(fault.status, { 'content-type': 'text/html' }).end(fault.body);
        return;
      case 'reply':
      case undefined:
    }
    const reply = this.#perform(operation, JSON.parse(body) as Record<string, string>);
    send(response, 200, fault?.kind === 'reply' ? { ...reply, ...fault.fields } : reply);
  }

  #takeFault(operation: string): Fault | undefined {
    const entry = this.#faults.get(operation);
    if (entry === undefined) return undefined;
    entry.times -= 1;
    if (entry.times <= 0) this.#faults.delete(operation);
    return entry.fault;
  }

  #perform(operation: string, input: Record<string, string>): Reply {
    switch (operation) {
      case 'DescribeKey':
        return { KeyMetadata: metadataOf(this.#find(input['KeyId'])) };
      case 'GetPublicKey':
        return this.#getPublicKey(this.#find(input['KeyId']));
      case 'Sign':
        return this.#sign(this.#find(input['KeyId']), input);
      case 'CreateKey':
        return { KeyMetadata: metadataOf(this.#find(this.createKey(keyOptionsOf(input)))) };
      case 'CreateAlias':
        return this.#createAlias(input);
      default:
        throw new AwsException('UnknownOperationException', operation);
    }
  }

  #getPublicKey(key: Key): Reply {
    checkUsable(key);
    return {
      KeyId: key.arn,
      KeySpec: key.spec,
      KeyUsage: key.usage,
      PublicKey: this.spkiOf(key.arn).toString('base64'),
      SigningAlgorithms: ['ECDSA_SHA_256'],
    };
  }

  #sign(key: Key, input: Record<string, string>): Reply {
    this.#keepQuota();
    checkUsable(key);
    const { Message = '', MessageType, SigningAlgorithm = '' } = input;
    const digest = Buffer.from(Message, 'base64');
    if (key.usage !== 'SIGN_VERIFY') throw new AwsException('InvalidKeyUsageException', key.usage);
    if (MessageType !== 'DIGEST' || SigningAlgorithm !== 'ECDSA_SHA_256' || digest.length !== 32) {
      throw new AwsException('ValidationException', 'expected a digest of 32 bytes');
    }
    this.signatures += 1;
    const signature = this.signatureBy(key.arn, Uint8Array.from(digest));
    return {
      KeyId: key.arn,
      Signature: Buffer.from(signature).toString('base64'),
      SigningAlgorithm,
    };
  }

  #createAlias({ AliasName = '', TargetKeyId }: Record<string, string>): Reply {
    if (this.#aliases.has(AliasName)) throw new AwsException('AlreadyExistsException', AliasName);
    this.#aliases.set(AliasName, this.#find(TargetKeyId));
    return {};
  }

  #keepQuota(): void {
    const nowMs = performance.now();
    const { signQuotaPerSecond = Infinity } = this.#options;
    while (this.#signedAtMs[0] !== undefined && this.#signedAtMs[0] <= nowMs - 1000) {
      this.#signedAtMs.shift();
    }
    if (this.#signedAtMs.length >= signQuotaPerSecond) {
      throw new AwsException('ThrottlingException', 'Rate exceeded');
    }
    this.#signedAtMs.push(nowMs);
  }

  #find(keyId = ''): Key {
    const prefix = `arn:aws:kms:${region}:${accountId}:`;
    const name = keyId.startsWith(prefix) ? keyId.slice(prefix.length) : keyId;
    const key = name.startsWith('alias/')
      ? this.#aliases.get(name)
      : this.#keys.get(name.startsWith('key/') ? prefix + name : `${prefix}key/${name}`);
    if (key === undefined) throw new AwsException('NotFoundException', `no ${keyId}`);
    return key;
  }

  /** Recomputes the request's signature (AWS Signature Version 4) with the one secret it knows. */
  #authenticate(request: IncomingMessage, body: string): void {
    const fields =
      /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/kms\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
        headerOf(request, 'authorization'),
      );
    if (fields === null) throw new AwsException('MissingAuthenticationToken', 'not signed');
    const [, accessKeyId, date = '', scopeRegion, signedHeaders = '', signature = ''] = fields;
    const { credentials } = this;
    if (
      accessKeyId !== credentials.accessKeyId ||
      headerOf(request, 'x-amz-security-token') !== credentials.sessionToken
    ) {
      throw new AwsException('UnrecognizedClientException', 'invalid security token');
    }
    const names = signedHeaders.split(';');
    if (!['host', 'x-amz-date', 'x-amz-security-token'].every((name) => names.includes(name))) {
      throw new AwsException('InvalidSignatureException', 'a header is not signed');
    }
    const timestamp = headerOf(request, 'x-amz-date');
    const [year, month, day, hour, minute, second] = timestamp.match(/\d\d/g)?.slice(1) ?? [];
    const sentAtMs = Date.parse(`20${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
    if (!(Math.abs(Date.now() + this.clock.aheadMs - sentAtMs) <= allowedSkewMs)) {
      throw new AwsException(this.clock.refusal, `Signature expired: ${timestamp}`);
    }
    const canonicalRequest = [
      request.method,
      '/',
      '',
      ...names.map((name) => `${name}:${headerOf(request, name).trim()}`),
      '',
      signedHeaders,
      sha256Hex(body),
    ].join('\n');
    const scope = `${date}/${region}/kms/aws4_request`;
    const stringToSign = ['AWS4-HMAC-SHA256', timestamp, scope, sha256Hex(canonicalRequest)];
    const signingKey = [date, region, 'kms', 'aws4_request'].reduce<string | Buffer>(
      (key, part) => createHmac('sha256', key).update(part).digest(),
      `AWS4${credentials.secretAccessKey}`,
    );
    const expected = createHmac('sha256', signingKey).update(stringToSign.join('\n')).digest();
    if (
      scopeRegion !== region ||
      !timestamp.startsWith(date) ||
      !timingSafeEqual(expected, Buffer.from(signature, 'hex'))
    ) {
      throw new AwsException(
        'InvalidSignatureException',
        `the signature does not match; the canonical request is ${canonicalRequest}`,
      );
    }
  }
}

async function makeIdentity(): Promise<{ readonly cert: string; readonly key: string }> {
  const { cert, private: key } = await generate([{ name: 'commonName', value: 'localhost' }], {
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] }],
  });
  return { cert, key };
}

function metadataOf(key: Key): Reply {
  return {
    AWSAccountId: accountId,
    Arn: key.arn,
    CreationDate: 1_760_000_000.5,
    Enabled: key.state === 'Enabled',
    KeyId: key.id,
    KeyManager: 'CUSTOMER',
    KeySpec: key.spec,
    KeyState: key.state,
    KeyUsage: key.usage,
    MultiRegion: key.multiRegion,
    ...(key.multiRegion && {
      MultiRegionConfiguration: {
        MultiRegionKeyType: 'PRIMARY',
        PrimaryKey: { Arn: key.arn, Region: region },
        ReplicaKeys: [],
      },
    }),
    Origin: 'AWS_KMS',
  };
}

function keyOptionsOf(input: Record<string, string>): KeyOptions {
  const { KeySpec, KeyUsage } = input;
  if (KeySpec !== 'ECC_SECG_P256K1' || KeyUsage !== 'SIGN_VERIFY') {
    throw new AwsException('ValidationException', 'this server makes payment keys only');
  }
  return { spec: KeySpec, usage: KeyUsage };
}

function checkUsable(key: Key): void {
  if (key.state === 'Disabled') throw new AwsException('DisabledException', `${key.arn} is off`);
  if (key.state !== 'Enabled' && key.state !== 'Updating') {
    throw new AwsException('KMSInvalidStateException', `${key.arn} is ${key.state}`);
  }
}

function send(response: ServerResponse, status: number, body: Reply): void {
  response
    .writeHead(status, {
      'content-type': 'application/x-amz-json-1.1',
      'x-amzn-requestid': randomId(),
    })
    .end(JSON.stringify(body));
}

function headerOf(request: IncomingMessage, name: string): string {
  const value = request.headers[name];
  return typeof value === 'string' ? value : '';
}

function sha256Hex(data: string): string {
  return createHash('sha256').update(data).digest('hex');
}

function randomId(): string {
  return random.hex(16).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function publicKeyOf(privateKey: Uint8Array, spec: Key['spec']): KeyObject {
  const [curve, crv] = spec === 'ECC_SECG_P256K1' ? [secp256k1, 'secp256k1'] : [p256, 'P-256'];
  const point = Buffer.from(curve.getPublicKey(privateKey, false));
  const x = point.toString('base64url', 1, 33);
  const y = point.toString('base64url', 33);
  return createPublicKey({ format: 'jwk', key: { kty: 'EC', crv, x, y } });
}
