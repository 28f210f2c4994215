import { z } from 'zod';
import { bundledProviders, loadProviderPlugin } from '../../plugins/registry.ts';
import { configSchema, keySchema } from './schema.ts';

const options = { io: 'input', unrepresentable: 'any' } as const;

/**
 * The JSON Schema (draft 2020-12) of configuration files, with the section of each bundled provider. It is less strict than
 * `loadConfig`: amounts and hashes are any text in it.
 */
export async function describeConfig(): Promise<object> {
  const oneOf = await Promise.all(bundledProviders.map(describeKeySection));
  return z.toJSONSchema(configSchema, {
    ...options,
    override: ({ zodSchema, jsonSchema }) => {
      if (zodSchema === keySchema) Object.assign(jsonSchema, { oneOf });
    },
  });
}

async function describeKeySection(provider: string): Promise<object> {
  const plugin = await loadProviderPlugin(provider);
  const section = z.toJSONSchema(plugin.configSchema, options);
  return {
    ...section,
    $schema: undefined,
    properties: { provider: { const: provider }, generateIfMissing: true, ...section.properties },
  };
}
