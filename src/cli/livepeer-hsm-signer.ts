#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

/**
 * Compiled code is kept in the program's own folder, which nobody may write who may not change the program itself; the one that
 * Node would choose lies in a folder of all users. Where it can't be written, nothing is kept.
 */
enableCompileCache(fileURLToPath(new URL('../../.compile-cache', import.meta.url)));
await import('./program.ts');
