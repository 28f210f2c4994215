import { randomInt } from 'node:crypto';

// before anything reads it: a run without a seed of its own explores other cases than the last one did
process.env['LIVEPEER_HSM_SIGNER_TEST_SEED'] ??= `${randomInt(2 ** 31)}`;
