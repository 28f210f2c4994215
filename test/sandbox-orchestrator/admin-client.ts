import { request } from 'node:https';
import type { SandboxStats } from './stats.ts';

/** The statistics of the sandbox orchestrator at `url`. */
export function fetchStats(url: string): Promise<SandboxStats> {
  return call('GET', `${url}/sandbox/stats`, '');
}

/** Moves clock and L1 block of the sandbox orchestrator at `url` and has it debit its sessions. */
export function advance(
  url: string,
  by: { readonly seconds?: number; readonly l1Blocks?: number },
): Promise<SandboxStats> {
  return call('POST', `${url}/sandbox/advance`, JSON.stringify(by));
}

async function call(method: string, url: string, body: string): Promise<SandboxStats> {
  const text = await new Promise<string>((resolve, reject) => {
    const options = { method, rejectUnauthorized: false, agent: false } as const;
    const sent = request(url, options, (response) => {
      let received = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (received += chunk));
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200) resolve(received);
        else reject(new Error(`${method} ${url} answered ${response.statusCode}: ${received}`));
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
  return JSON.parse(text) as SandboxStats;
}
