/**
 * Permission to sign exactly one Intent, once, for a short time. It carries nothing: what it permits is known only
 * to the authority that issued it (`src/policy/grants.ts`), so one made anywhere else permits nothing.
 */
export class Grant {
  declare private readonly brand: 'Grant';
}
