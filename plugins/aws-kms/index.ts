import { type KeyProviderPlugin, portVersion } from '../../src/keys/provider.ts';
import { AwsKmsProvider, generateAwsKmsKey } from './aws-kms-provider.ts';
import { type AwsKmsConfig, configSchema } from './config.ts';
import { KmsApi } from './kms-api.ts';

/** Keys in AWS KMS. The SDK, `@aws-sdk/client-kms`, is loaded when a key is opened or made. */
export const plugin: KeyProviderPlugin<AwsKmsConfig> = {
  portVersion,
  name: 'aws-kms',
  configSchema,

  async open(config) {
    const kms = await KmsApi.connect(config);
    try {
      return await AwsKmsProvider.open(kms, config);
    } catch (error) {
      kms.close();
      throw error;
    }
  },

  async generateKey(config) {
    const kms = await KmsApi.connect(config);
    try {
      return await generateAwsKmsKey(kms, config);
    } finally {
      kms.close();
    }
  },
};
