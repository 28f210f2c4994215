import { describe, expect, it } from 'vitest';
import { toHex, utf8ToBytes } from '../../src/pm/bytes.ts';
import {
  flattenSegmentCredentials,
  hashManifestId,
  refuseManifestId,
} from '../../src/pm/segment-credentials.ts';

describe('segment credentials', () => {
  it('are the manifest id, 32 zeros and the hash of nothing', () => {
    expect(toHex(flattenSegmentCredentials('aé'))).toBe(
      `0x61c3a9${'00'.repeat(32)}c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470`,
    );
  });

  it('are carried by the SHA-256 of the manifest id', () => {
    expect(hashManifestId('abc')).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
  });
});

describe('a manifest id', () => {
  it.each([104, 168])(
    'of %i bytes is refused: its credentials are as long as a ticket',
    (length) => {
      expect(refuseManifestId('a'.repeat(length))).toEqual({
        code: 'MANIFEST_ID_INVALID',
        data: { length },
      });
      // bytes count, not characters
      expect(refuseManifestId('é'.repeat(length / 2))).toEqual({
        code: 'MANIFEST_ID_INVALID',
        data: { length },
      });
      for (const other of [length - 1, length + 1]) {
        expect(refuseManifestId('a'.repeat(other))).toBeUndefined();
      }
    },
  );

  it('is refused where it begins as a BYOC job does', () => {
    const start = 'LP_BYOC_JOB_V1';
    const refusal = { code: 'MANIFEST_ID_INVALID', data: { start } };
    expect(refuseManifestId(start)).toEqual(refusal);
    expect(refuseManifestId(`${start} and more`)).toEqual(refusal);
    expect(refuseManifestId(start.slice(0, -1))).toBeUndefined();
    expect(refuseManifestId(` ${start}`)).toBeUndefined();
  });

  it('may be empty', () => {
    expect(refuseManifestId('')).toBeUndefined();
    expect(flattenSegmentCredentials('')).toHaveLength(64);
    expect(utf8ToBytes('')).toHaveLength(0);
  });
});
