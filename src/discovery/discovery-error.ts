import { type CodeOf, SignerError } from '../errors.ts';

/** Orchestrators can't be named. */
export class DiscoveryError extends SignerError<CodeOf<'discovery'>> {}
