import { describe } from 'vitest';
import { describeRuntimes } from './runtimes.ts';

// what differs between runtimes does not depend on the number of sessions
describe('the client', () => describeRuntimes((name) => (name === 'Node 24' ? 40 : 9)));
