import type { Http2ServerResponse } from 'node:http2';

/** How an orchestrator can fail whoever asks it, whatever is asked. */
export type SandboxFault = 'silent' | 'refusing' | 'oversized' | 'malformed' | 'redirecting';

const oversizedBytes = 2 * 1024 * 1024;

/** Answers a request as the fault has it; `silent` never does. */
export function answerWithFault(
  fault: SandboxFault,
  isGrpc: boolean,
  response: Http2ServerResponse,
): void {
  const type = { 'content-type': isGrpc ? 'application/grpc' : 'application/json' };
  switch (fault) {
    case 'silent':
      return;
    case 'refusing':
      response.writeHead(503, type);
      response.end('{}');
      return;
    case 'oversized':
      response.writeHead(200, type);
      response.end(Buffer.alloc(oversizedBytes, ' '));
      return;
    case 'malformed':
      response.writeHead(200, type);
      response.end(isGrpc ? Buffer.from('000000000507ffffffff', 'hex') : '{"address":');
      return;
    case 'redirecting':
      response.writeHead(302, { ...type, location: 'https://127.0.0.1:1/discovery' });
      response.end();
      return;
  }
}
