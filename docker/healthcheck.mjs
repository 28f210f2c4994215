// Ends with status 0 if the signer in this container answers. HEALTHCHECK_URL names another address, or https.
const url = process.env.HEALTHCHECK_URL ?? 'http://127.0.0.1:7936/healthz';
try {
  const response = await fetch(url, { signal: AbortSignal.timeout(2_500) });
  if (!response.ok) throw new Error(`status ${response.status}`);
} catch (error) {
  process.stderr.write(`${url}: ${error.cause?.message ?? error.message}\n`);
  process.exitCode = 1;
}
