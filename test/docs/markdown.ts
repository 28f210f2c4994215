import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { root } from '../cli/cli.ts';

/** Every Markdown file of the project, by its path from the root. */
export const markdownFiles: readonly string[] = [
  root,
  ...['docs', 'examples', 'softhsm', 'config', 'plugins', 'test'].map((folder) =>
    join(root, folder),
  ),
].flatMap((folder, index) =>
  readdirSync(folder, { recursive: index > 0, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md') && !/node_modules|venv/.test(name))
    .map((name) => relative(root, join(folder, name))),
);

export function readDocument(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

export type Row = {
  /** of the section that the table is in */
  readonly heading: string;
  readonly cells: readonly string[];
};

/** The rows of a document's tables whose first cell is code, without its backticks. */
export function codeRows(text: string): Row[] {
  let heading = '';
  return text.split('\n').flatMap((line) => {
    heading = /^## (.+)$/.exec(line)?.[1] ?? heading;
    if (!line.startsWith('| `')) return [];
    const cells = line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim());
    return [{ heading, cells: [cells[0]?.replaceAll('`', '') ?? '', ...cells.slice(1)] }];
  });
}

/** Shell lines of the document's fenced `sh` blocks. */
export function shellLines(text: string): string[] {
  return [...text.matchAll(/^```sh\n(.*?)^```$/gms)].flatMap(([, block = '']) =>
    block.trim().split('\n'),
  );
}

/** As GitHub makes a heading's anchor. */
export function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
