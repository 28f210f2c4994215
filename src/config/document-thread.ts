import { once } from 'node:events';
import { extname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { ConfigError } from '../errors.ts';
import { type Documents, documentReaders } from './documents.ts';

/** What the thread is given. */
export type DocumentRequest = {
  readonly kind: keyof Documents;
  readonly text: string;
  readonly path: string;
};

/** What it answers: the document, or what is wrong with it. */
export type DocumentReply =
  { readonly value: Documents[keyof Documents] } | { readonly problem: string };

// .ts when Node runs the sources, .js when it runs what tsc made of them
const workerUrl = new URL(`./document-worker${extname(import.meta.url)}`, import.meta.url);

const timeoutMs = 30_000;
/** Some hundred times what a file of 10,000 API keys needs; a file made to take more ends its thread, not the signer. */
const resourceLimits = { maxOldGenerationSizeMb: 512 };

/** So much is read in some milliseconds, or in under 100 where all of it is wrong; to start a thread takes half a second of CPU. */
const shortLength = 4_096;

/** An anchor of YAML may make a short text stand for a long one. */
const isShort = (text: string): boolean => text.length <= shortLength && !text.includes('&');

/**
 * Reads the text of a file that has changed: a short one at once, a longer one in a thread of its own, since 10,000 API keys take a
 * second, in which no payment would be answered. Rejects with `CONFIG_INVALID`, with every problem and its path, and when it takes
 * over 30 s or 512 MB.
 */
export async function readDocument<Kind extends keyof Documents>(
  kind: Kind,
  text: string,
  path: string,
): Promise<Documents[Kind]> {
  if (isShort(text)) return documentReaders[kind](text, path);
  const request: DocumentRequest = { kind, text, path };
  const worker = new Worker(workerUrl, { workerData: request, resourceLimits, execArgv: [] });
  const done = new AbortController();
  const { signal } = done;
  try {
    const reply = await Promise.race([
      once(worker, 'message', { signal }).then(([message]) => message as DocumentReply),
      delay(
        timeoutMs,
        { problem: `${path} takes over ${timeoutMs / 1000} s to be read` },
        { signal, ref: false },
      ),
    ]);
    if ('value' in reply) return reply.value as Documents[Kind];
    throw new ConfigError('CONFIG_INVALID', reply.problem);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_WORKER_OUT_OF_MEMORY') throw cause;
    const limit = `${resourceLimits.maxOldGenerationSizeMb} MB`;
    throw new ConfigError('CONFIG_INVALID', `${path} takes over ${limit} to be read`, { cause });
  } finally {
    done.abort();
    await worker.terminate();
  }
}
