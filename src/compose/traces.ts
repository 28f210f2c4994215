import type { Config } from '../config/load.ts';
import { revealHeaders } from '../outgoing/secret-headers.ts';
import { programVersion } from '../program-version.ts';
import type { Logger } from '../telemetry/logger.ts';
import { readHeaders } from './headers.ts';

/** Sends traces to the configured collector, if there is one. Throws `CONFIG_INVALID` and `SECRET_UNREADABLE`. */
export async function openTraces(
  { settings: { traces }, resolvePath }: Config,
  logger: Logger,
): Promise<AsyncDisposable | undefined> {
  if (!traces) return undefined;
  const { otlp, sampleRatio } = traces;
  const headers = readHeaders(otlp.headers, resolvePath, 'traces.otlp.headers');
  // loaded only where traces are configured
  const { openOtlpTraces } = await import('../telemetry/otlp-traces.ts');
  const opened = openOtlpTraces({
    endpoint: otlp.endpoint,
    headers: revealHeaders(headers),
    timeoutMs: otlp.timeoutMs,
    sampleRatio,
    version: programVersion(),
    onFailure: () => logger.warn({ setting: 'traces.otlp.endpoint' }, 'traces could not be sent'),
  });
  return { [Symbol.asyncDispose]: () => opened.close() };
}
