import { z } from 'zod';

const keyArn = /^arn:aws[a-z-]*:kms:([a-z0-9-]+):\d{12}:(?:key|alias)\/[A-Za-z0-9/_-]+$/;
const keyId = /^(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})$/;
const alias = /^alias\/[A-Za-z0-9/_-]{1,250}$/;

/** Strict schema of the `aws-kms` section. Credentials are no part of it: they come from the SDK's default chain. */
export const configSchema = z
  .strictObject({
    /** Key ARN, alias ARN, key id, or `alias/NAME`. */
    keyId: z
      .string()
      .refine(
        (text) => keyArn.test(text) || keyId.test(text) || alias.test(text),
        'expected a key ARN, an alias ARN, a key id, or alias/NAME',
      ),
    /** AWS Region; may be left out when `keyId` is an ARN. */
    region: z
      .string()
      .regex(/^[a-z0-9-]+$/, 'expected an AWS Region such as eu-central-1')
      .optional(),
    /** Another URL of KMS, e.g. of a VPC endpoint. Plain http only to this machine. */
    endpoint: z
      .url({ protocol: /^https?$/, abort: true })
      .refine(isEncryptedOrLocal, 'expected https:// (http:// only to this machine)')
      .optional(),
    /** Use the FIPS 140 endpoint of the Region; left out, `AWS_USE_FIPS_ENDPOINT` decides. */
    fips: z.boolean().optional(),
    /** Sign requests that may reach KMS in any one second; its default quota for all ECC keys of an account and Region is 1,000. */
    requestsPerSecond: z.int().min(1).max(100_000).default(1000),
    /** Sign requests under way at once. */
    concurrency: z.int().min(1).max(1000).default(64),
    /** Sign requests that may wait; one more is refused as `PROVIDER_THROTTLED`. */
    maxQueued: z.int().min(0).max(100_000).default(2000),
    /** Time that one attempt may take, in milliseconds. */
    attemptTimeoutMs: z.int().min(50).max(60_000).default(1500),
    /** Attempts in all, the first one counted. */
    maxAttempts: z.int().min(1).max(10).default(3),
  })
  .transform((config, context) => {
    const problem = (path: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [path], message });
    const regionOfArn = keyArn.exec(config.keyId)?.[1];
    const region = config.region ?? regionOfArn;
    if (config.endpoint !== undefined && config.fips === true) {
      problem('fips', 'an endpoint is set: name the FIPS endpoint there and leave fips out');
    }
    if (regionOfArn !== undefined && region !== regionOfArn) {
      problem('region', `the ARN of keyId is in ${regionOfArn}; leave region out or make it equal`);
    }
    if (region === undefined) {
      problem('region', 'needed because keyId is not an ARN');
      return z.NEVER;
    }
    return { ...config, region };
  });

/** The checked section; `region` is always known. */
export type AwsKmsConfig = z.infer<typeof configSchema>;

/** Whether `keyId` names the key by an alias, which can be moved to another key. */
export function isAlias({ keyId }: AwsKmsConfig): boolean {
  return keyId.includes('alias/');
}

/** Whether requests to a URL stay secret: by TLS, or because they don't leave this machine. */
export function isEncryptedOrLocal(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  const isLocal = ['127.0.0.1', '[::1]', 'localhost'].includes(hostname);
  return protocol === 'https:' || (protocol === 'http:' && isLocal);
}
