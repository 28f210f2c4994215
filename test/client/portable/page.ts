/** For pages: has the cases run when the page is asked to. */
import { cases } from './cases.ts';
import { runCases } from './expect.ts';

Object.assign(globalThis, {
  runCases: (labUrl: string, sessions: number) => runCases(cases, labUrl, sessions),
});
