import { expect, it } from 'vitest';
import { readDocument } from '../docs/markdown.ts';

const { version } = JSON.parse(readDocument('package.json')) as { version: string };
const changelog = readDocument('CHANGELOG.md');

it('CHANGELOG.md tells of the version that package.json has, and keeps to the sections that there are', () => {
  expect(changelog).toMatch(/^## \[Unreleased\]$/m);
  expect(changelog).toMatch(
    new RegExp(`^## \\[${version}\\]|^The first release, ${version}\\.$`, 'm'),
  );
  const sections = [...changelog.matchAll(/^### (.+)$/gm)].map(([, name = '']) => name);
  expect(sections.length).toBeGreaterThan(0);
  const known = ['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security'];
  expect(sections.filter((name) => !known.includes(name))).toEqual([]);
});
