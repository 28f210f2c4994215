import { type ChainFolder, listChainFiles } from './files.ts';
import { readLines } from './read-lines.ts';
import { type ChainedRecord, decodeRecord } from './record.ts';

/** A record with the chain that it is in. */
export type FoundRecord = { readonly chain: string; readonly record: ChainedRecord };

/** What a log has of one request, in the order of its chains. */
export type FoundRequest = {
  readonly records: readonly FoundRecord[];
  /** problems of lines that name the request, and are not records as they were written */
  readonly broken: readonly string[];
};

/** No request has as many records; a broken log that repeats records without end is cut off here. */
const mostRecords = 1_000;

/**
 * Finds the records of a request: its key uses with their outcomes, or its denial. Each line is verified by its own hash; the
 * chain is not verified. Reads the files in their order, a piece at a time.
 */
export async function findRequest(
  chains: readonly ChainFolder[],
  requestId: string,
): Promise<FoundRequest> {
  const records: FoundRecord[] = [];
  const broken: string[] = [];
  for (const { name, path } of chains) {
    const uses = new Set<unknown>();
    const wanted = [Buffer.from(`"request":${JSON.stringify(requestId)}`)];
    for await (const { file, line, bytes } of readChain(path)) {
      if (!wanted.some((part) => bytes.includes(part))) continue;
      const record = decodeRecord(bytes);
      if (typeof record === 'string') {
        if (broken.length < mostRecords) broken.push(`${file} line ${line}: ${record}`);
        continue;
      }
      const isOfRequest = record['request'] === requestId;
      if (!isOfRequest && !uses.has(record['use'])) continue;
      if (records.length < mostRecords) records.push({ chain: name, record });
      if (record.kind !== 'key-use' || uses.size >= mostRecords) continue;
      uses.add(record['use']);
      wanted.push(Buffer.from(`"use":${JSON.stringify(record['use'])}`));
    }
  }
  return { records, broken };
}

/** The last `count` payments and denials of a session before a time (RFC 3339), the oldest first. */
export async function findBefore(
  chains: readonly ChainFolder[],
  session: string,
  before: string,
  count: number,
): Promise<FoundRecord[]> {
  const found: FoundRecord[] = [];
  const wanted = Buffer.from(`"session":${JSON.stringify(session)}`);
  for (const { name, path } of chains) {
    for await (const { bytes } of readChain(path)) {
      if (!bytes.includes(wanted)) continue;
      const record = decodeRecord(bytes);
      if (typeof record === 'string' || record.time >= before) continue;
      if (record.kind !== 'denied' && record['intent'] !== 'ticket-batch') continue;
      found.push({ chain: name, record });
      found.sort((a, b) =>
        a.record.time < b.record.time ? -1 : Number(a.record.time > b.record.time),
      );
      if (found.length > count) found.shift();
    }
  }
  return found;
}

async function* readChain(
  folder: string,
): AsyncGenerator<{ readonly file: string; readonly line: number; readonly bytes: Buffer }> {
  for (const { path } of await listChainFiles(folder)) {
    let line = 0;
    for await (const { bytes, isWhole } of readLines(path)) {
      line += 1;
      if (isWhole) yield { file: path, line, bytes };
    }
  }
}
