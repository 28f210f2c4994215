#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { endAtStopSignal } from './stop-signals.ts';

// Node would open a debugger, to which a process with the key has nothing to say; and the other would end the program
for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => undefined);
endAtStopSignal();

/**
 * Compiled code is kept in the program's own folder, which nobody may write who may not change the program itself; the one that
 * Node would choose lies in a folder of all users. Where it can't be written, nothing is kept.
 */
enableCompileCache(fileURLToPath(new URL('../../.compile-cache', import.meta.url)));
// V8 would let the heap grow by several times before it looks for garbage in all of it; growing by less saves memory, and costs CPU
setFlagsFromString('--heap-growing-percent=75');
await import('./program.ts');
