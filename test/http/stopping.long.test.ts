import { expect, it } from 'vitest';
import { Folder, devConfig } from '../cli/cli.ts';
import { createRandom } from '../support/random.ts';
import { stopUnderLoad } from './stop-under-load.ts';

const random = createRandom('stops');

it('200 stops by SIGTERM under load on kept connections reset nobody', async () => {
  using folder = new Folder();
  const config = folder.write('signer.yaml', devConfig);
  const failures: string[] = [];
  let answers = 0;
  for (let stop = 0; stop < 200; stop += 1) {
    const seen = await stopUnderLoad(config, 20 + random.int(130));
    answers += seen.answers;
    failures.push(...seen.failures, ...(seen.keptOpen > 0 ? ['kept open'] : []));
    if (seen.ended.status !== 0) failures.push(`exit code ${seen.ended.status}`);
  }
  console.log(`200 stops, ${answers} answers, ${failures.length} failures`);
  expect(failures).toEqual([]);
});
