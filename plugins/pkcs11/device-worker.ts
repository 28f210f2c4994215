import { parentPort, workerData } from 'node:worker_threads';
import { ProviderError } from '../../src/keys/provider.ts';
import { packFailure, toDeviceError } from './errors.ts';
import { Token } from './token.ts';
import type { DeviceReply, DeviceRequest } from './device-thread.ts';

// The program of the thread of one PKCS#11 session. It blocks while the device works, which is why it runs in a thread.

const { modulePath } = workerData as { modulePath: string };
let token: Token | undefined;

async function openToken(): Promise<Token> {
  let binding;
  try {
    binding = (await import('pkcs11js')).default;
  } catch (cause) {
    throw new ProviderError(
      'PROVIDER_MISSING',
      'the package pkcs11js is not installed: run "npm install pkcs11js" (it needs Python and a C++ compiler)',
      { details: cause instanceof Error ? cause.message : String(cause) },
    );
  }
  try {
    return new Token(binding, modulePath);
  } catch (cause) {
    throw new ProviderError(
      'PROVIDER_MISSING',
      `the PKCS#11 library ${modulePath} can't be loaded: install the vendor's PKCS#11 package or correct module`,
      { details: cause instanceof Error ? cause.message : String(cause) },
    );
  }
}

function perform(device: Token, request: DeviceRequest): unknown {
  switch (request.operation) {
    case 'initialise':
      return device.initialise();
    case 'connect':
      return device.connect(request.argument);
    case 'sign':
      return device.sign(request.argument);
    case 'check':
      device.check();
      return undefined;
    case 'describe':
      return device.describe();
    case 'restart':
      device.restart();
      return undefined;
    case 'finalise':
      device.finalise();
      return undefined;
    case 'disconnect':
      device.disconnect(request.argument);
      return undefined;
  }
}

async function serve(request: DeviceRequest): Promise<DeviceReply> {
  try {
    token ??= await openToken();
    return { result: await perform(token, request) };
  } catch (error) {
    return { failure: packFailure(toDeviceError(error)) };
  }
}

parentPort?.on('message', (request: DeviceRequest) => {
  void serve(request).then((reply) => parentPort?.postMessage(reply));
});
