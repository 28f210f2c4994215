import { stringify } from 'yaml';
import { newApiKey } from '../auth/api-keys.ts';
import { parseApiKeyFile } from '../config/api-key-file.ts';

export type NewKeyOptions = {
  readonly principal: string;
  readonly tenant?: string;
  readonly expires?: string;
};

/** `auth new-key`: prints an API key, and the entry for the file of API keys. Neither is stored. */
export function newAuthKey({ principal, tenant, expires }: NewKeyOptions): void {
  const { id, key, hash } = newApiKey();
  const entry = stringify([{ id, hash, principal, tenant, expires }]);
  parseApiKeyFile(entry, 'the entry of this key');
  process.stdout.write(
    `The API key, which is shown only now. Hand it to whoever is to be ${principal}:\n\n` +
      `${key}\n\n` +
      'Its entry, to be added to the file that auth.apiKeys.file names:\n\n' +
      entry,
  );
}
