import { describeConfig } from '../config/json-schema.ts';

/** `config schema`: what `config/config.schema.json` holds. */
export async function printConfigSchema(): Promise<void> {
  process.stdout.write(`${JSON.stringify(await describeConfig(), null, 2)}\n`);
}
