import { describe } from 'vitest';
import { describeRuntimes } from './runtimes.ts';

describe('the client, with 40 sessions', () => describeRuntimes(() => 40));
