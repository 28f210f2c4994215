import { type ApiKeyEntry, parseApiKeyFile } from './api-key-file.ts';
import { type PolicyDocument, readPolicyDocument } from './policy-file.ts';

/** The files that are read again while the signer runs, and what each is read as. */
export type Documents = {
  readonly policy: PolicyDocument;
  readonly 'API keys': ReadonlyMap<string, ApiKeyEntry>;
};

/** How each is read from its text. They throw `CONFIG_INVALID`, with every problem and its path. */
export const documentReaders: {
  readonly [Kind in keyof Documents]: (text: string, path: string) => Documents[Kind];
} = { policy: readPolicyDocument, 'API keys': parseApiKeyFile };
