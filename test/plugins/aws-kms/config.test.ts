import { describe, expect, it } from 'vitest';
import { plugin } from '../../../plugins/aws-kms/index.ts';

const keyArn = 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';

function problemsOf(section: unknown): readonly string[] {
  const { error } = plugin.configSchema.safeParse(section);
  return (error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);
}

describe('the aws-kms section', () => {
  it('needs no more than a key ARN, and stays within the default quota', () => {
    expect(plugin.configSchema.parse({ keyId: keyArn })).toEqual({
      keyId: keyArn,
      region: 'eu-west-1',
      requestsPerSecond: 1000,
      concurrency: 64,
      maxQueued: 2000,
      attemptTimeoutMs: 1500,
      maxAttempts: 3,
    });
  });

  it.each([
    'alias/livepeer',
    '1234abcd-12ab-34cd-56ef-1234567890ab',
    'mrk-1234abcd12ab34cd56ef1234567890ab',
    'arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab',
    'arn:aws:kms:us-east-1:111122223333:alias/livepeer/main',
  ])('takes the keyId %s', (keyId) => {
    const region = keyId.startsWith('arn:') ? undefined : 'us-east-1';
    expect(problemsOf({ keyId, ...(region !== undefined && { region }) })).toEqual([]);
  });

  it.each(['', 'livepeer', 'alias/', 'alias/a b', 'arn:aws:s3:::bucket', '1234'])(
    'refuses the keyId %j',
    (keyId) => {
      expect(problemsOf({ keyId, region: 'us-east-1' })).toEqual([
        'keyId: expected a key ARN, an alias ARN, a key id, or alias/NAME',
      ]);
    },
  );

  it('needs a region beside an alias', () => {
    expect(problemsOf({ keyId: 'alias/livepeer' })).toEqual([
      'region: needed because keyId is not an ARN',
    ]);
  });

  it('refuses a region other than that of the ARN', () => {
    expect(problemsOf({ keyId: keyArn, region: 'us-east-1' })).toEqual([
      'region: the ARN of keyId is in eu-west-1; leave region out or make it equal',
    ]);
  });

  it('refuses credentials, as it does every unknown field', () => {
    expect(problemsOf({ keyId: keyArn, secretAccessKey: 'x' })).toEqual([
      ': Unrecognized key: "secretAccessKey"',
    ]);
  });

  it.each(['http://kms.example.com', 'ftp://127.0.0.1', 'kms.example.com'])(
    'refuses the endpoint %s, which is not encrypted',
    (endpoint) => {
      expect(problemsOf({ keyId: keyArn, endpoint })).not.toEqual([]);
    },
  );

  it.each(['https://kms.example.com', 'http://127.0.0.1:4566', 'http://localhost:4566'])(
    'takes the endpoint %s',
    (endpoint) => {
      expect(problemsOf({ keyId: keyArn, endpoint })).toEqual([]);
    },
  );

  it('refuses fips beside an endpoint', () => {
    expect(problemsOf({ keyId: keyArn, endpoint: 'https://kms.example.com', fips: true })).toEqual([
      'fips: an endpoint is set: name the FIPS endpoint there and leave fips out',
    ]);
  });

  it.each([
    { requestsPerSecond: 0 },
    { requestsPerSecond: 0.5 },
    { concurrency: 0 },
    { maxQueued: -1 },
    { attemptTimeoutMs: 1 },
    { maxAttempts: 0 },
  ])('refuses %j', (limit) => {
    expect(problemsOf({ keyId: keyArn, ...limit })).toHaveLength(1);
  });
});
