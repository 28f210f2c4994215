import type { Target } from './target.ts';
import { configTargets } from './targets/config.ts';
import { jsonTargets, plantedTarget } from './targets/json.ts';
import { keyTargets } from './targets/keys.ts';
import { protobufTargets } from './targets/protobuf.ts';
import { openTokenTargets } from './targets/tokens.ts';

/** The targets of these names, `all` for each of them, ready to run. Throws for a name that there is not. */
export async function openTargets(names: readonly string[]): Promise<readonly Target[]> {
  const targets = [
    ...protobufTargets,
    ...jsonTargets,
    ...keyTargets,
    ...configTargets,
    ...(await openTokenTargets()),
    plantedTarget,
  ];
  const known = targets.map(({ name }) => name);
  const unknown = names.find((name) => name !== 'all' && !known.includes(name));
  const chosen = targets.filter(
    ({ name }) => (names.includes('all') && name !== plantedTarget.name) || names.includes(name),
  );
  for (const { close } of targets.filter(
    (target) => unknown !== undefined || !chosen.includes(target),
  )) {
    await close?.();
  }
  if (unknown === undefined) return chosen;
  throw new Error(`there is no target ${unknown}; there are ${known.join(', ')}`);
}
