#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { endAtStopSignal } from './stop-signals.ts';

// SIGUSR1 would open Node's debugger, which a process that holds the key must not have; SIGUSR2 would end the program
for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => undefined);
endAtStopSignal();

/**
 * Compiled code is cached in the program's own folder, which only somebody who may change the program itself can write; Node's
 * default is a folder that all users share. Where the folder can't be written, nothing is cached.
 */
enableCompileCache(fileURLToPath(new URL('../../.compile-cache', import.meta.url)));
// V8 would let the heap grow to several times its size before it collects all garbage; growing by less saves memory, and costs
// CPU time
setFlagsFromString('--heap-growing-percent=75');
await import('./program.ts');
