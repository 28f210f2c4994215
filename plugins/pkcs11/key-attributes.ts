/** Attributes of the private key, and of its public key, as read from the token; absent ones are undefined. */
export type KeyAttributes = {
  readonly label: string;
  /** Hex. */
  readonly id: string;
  /** CKA_KEY_TYPE. */
  readonly keyType: number | undefined;
  /** CKA_EC_PARAMS of the private key object, or of a public one where the private one has none. */
  readonly ecParams: Uint8Array | undefined;
  /** CKA_EC_POINT of each public key object that may belong to it, and of the private one where it has one. */
  readonly ecPoints: readonly Uint8Array[];
  readonly sign: boolean | undefined;
  readonly sensitive: boolean | undefined;
  readonly alwaysSensitive: boolean | undefined;
  readonly extractable: boolean | undefined;
  readonly neverExtractable: boolean | undefined;
  readonly local: boolean | undefined;
  readonly alwaysAuthenticate: boolean | undefined;
};

/** DER of the object identifier 1.3.132.0.10, secp256k1 (SEC 2, A.2.1): what CKA_EC_PARAMS must hold. */
export const secp256k1Params = Buffer.from('06052b8104000a', 'hex');
