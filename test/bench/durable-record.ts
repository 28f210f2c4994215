import { open } from 'node:fs/promises';
import { join } from 'node:path';

/** About as long as a payment's records are. */
const line = `${'x'.repeat(1_000)}\n`;
const groups = 300;

/** Microseconds of this process's CPU for one record, where `count` of them share one write and one sync. */
export async function durableRecordCost(count: number, folder: string): Promise<number> {
  await using file = await open(join(folder, 'durable-records'), 'w');
  const write = async (): Promise<void> => {
    await file.write(Buffer.from(line.repeat(count)), 0, undefined, 0);
    await file.datasync();
  };
  for (let group = 0; group < groups / 10; group += 1) await write();
  const before = process.cpuUsage();
  for (let group = 0; group < groups; group += 1) await write();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / (groups * count);
}
