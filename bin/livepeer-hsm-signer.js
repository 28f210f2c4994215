#!/usr/bin/env -S node --max-semi-space-size=16
// plain JavaScript without imports, so that an older Node reads it and can say what is wrong
const oldest = 24;
if (Number.parseInt(process.versions.node, 10) < oldest) {
  process.stderr.write(
    `livepeer-hsm-signer needs Node.js ${oldest} or later; this is ${process.version}, ${process.execPath}\n`,
  );
  process.exitCode = 2;
} else {
  import('../dist/src/cli/livepeer-hsm-signer.js');
}
