import { loadConfig } from '../config/load.ts';

/** `config check`: throws `CONFIG_INVALID` with every problem. */
export async function checkConfig(options: { config: string }): Promise<void> {
  const { settings, keys } = await loadConfig(options.config);
  const { host, port } = settings.server.listen;
  process.stdout.write(
    `${options.config} is valid: key from ${keys.map(({ plugin }) => plugin.name).join(', ')}, chain facts ${settings.chain.source}, ` +
      `listening on ${host}:${port}\n`,
  );
}
