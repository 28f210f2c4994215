import fc from 'fast-check';
import { testSeed } from './random.ts';

fc.configureGlobal({ seed: testSeed });

/** fast-check, whose cases come from the seed of the run. */
export { fc };
