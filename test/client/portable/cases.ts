import type { Case } from './expect.ts';
import { payingFetchCases } from './paying-fetch-cases.ts';
import { sessionCases } from './session-cases.ts';
import { signerCases } from './signer-cases.ts';

/** What the client does in every program. */
export const cases: readonly Case[] = [...signerCases, ...sessionCases, ...payingFetchCases];
