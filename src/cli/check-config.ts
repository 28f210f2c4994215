import { readRules } from '../compose/rules.ts';
import { parseApiKeyFile } from '../config/api-key-file.ts';
import { type Config, loadConfig } from '../config/load.ts';
import { readTextFile } from '../config/read-text-file.ts';

/** `config check`: the file, and those that it names besides secrets. Throws `CONFIG_INVALID` with every problem of the first. */
export async function checkConfig(options: { config: string }): Promise<void> {
  const config = await loadConfig(options.config);
  const besides = [checkPolicy(config), checkApiKeys(config)].filter((text) => text !== undefined);
  const { settings, keys } = config;
  const { host, port } = settings.server.listen;
  process.stdout.write(
    `${options.config} is valid: key from ${keys.map(({ plugin }) => plugin.name).join(', ')}, chain facts ${settings.chain.source}, ` +
      `listening on ${host}:${port}${besides.map((text) => `, ${text}`).join('')}\n`,
  );
}

function checkPolicy(config: Config): string | undefined {
  if (config.settings.policy.file === undefined) return undefined;
  const { policy } = readRules(config);
  return `rules: ${policy.ruleIds.length}`;
}

function checkApiKeys({ settings, resolvePath }: Config): string | undefined {
  const file = settings.auth.apiKeys?.file;
  if (file === undefined) return undefined;
  const path = resolvePath(file);
  return `API keys: ${parseApiKeyFile(readTextFile(path, 'file of API keys'), path).size}`;
}
