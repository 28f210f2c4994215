import { existsSync, readFileSync } from 'node:fs';
import { join, matchesGlob } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { configSchema } from '../../src/config/schema.ts';
import { bundledProviders } from '../../plugins/registry.ts';
import { root, run } from '../cli/cli.ts';
import { mountsOf, readCompose } from './compose.ts';
import { copiedFiles, readInstructions, readStages, valueOf } from './dockerfile.ts';

const dockerfile = 'Dockerfile';
const final = readStages(dockerfile).at(-1) ?? [];
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  bin: Record<string, string>;
};
const entrypoint = JSON.parse(valueOf(final, 'ENTRYPOINT')) as string[];
const command = JSON.parse(valueOf(final, 'CMD')) as string[];
const compose = readCompose();

describe.each([dockerfile, 'softhsm/Containerfile'])('%s', (path) => {
  it('copies only files that there are and that .dockerignore lets through', () => {
    const allowed = readFileSync(join(root, '.dockerignore'), 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    const files = readInstructions(path)
      .filter(({ name }) => name === 'COPY')
      .flatMap(copiedFiles);
    expect(files.length).toBeGreaterThan(0);
    expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
    const isAllowed = (file: string): boolean =>
      allowed.some((pattern) => matchesGlob(file, pattern) || file.startsWith(`${pattern}/`));
    expect(files.filter((file) => !isAllowed(file))).toEqual([]);
  });

  it('runs as a user of its own, and bakes no secret in', () => {
    const stage = readStages(path).at(-1) ?? [];
    expect(valueOf(stage, 'USER')).toMatch(/^(?!root)[a-z]+$/);
    expect(readFileSync(join(root, path), 'utf8')).not.toMatch(/pin|password|secret|access_?key/i);
  });
});

describe('the image of the signer', () => {
  it('starts the program of the package, with a command that it knows', async () => {
    expect(entrypoint).toEqual([
      'node',
      '--max-semi-space-size=16',
      `/app/${manifest.bin['livepeer-hsm-signer']}`,
    ]);
    const [verb = '', ...options] = command;
    const { status, stdout } = await run([verb, '--help']);
    expect(status).toBe(0);
    for (const option of options.filter((word) => word.startsWith('--'))) {
      expect(stdout).toContain(`${option} <`);
    }
  });

  it('exposes the port that the program listens on, and asks it for its health there', () => {
    const port = valueOf(final, 'EXPOSE');
    const { server } = configSchema.shape;
    expect(server.parse({})).toMatchObject({ listen: { port: Number(port) } });
    expect(command.at(-1)).toBe(`0.0.0.0:${port}`);
    const [, check = ''] = JSON.parse(
      valueOf(final, 'HEALTHCHECK').replace(/^.*? CMD /, ''),
    ) as string[];
    const script = readFileSync(join(root, check.replace('/app/', '')), 'utf8');
    expect(script).toContain(`http://127.0.0.1:${port}/healthz`);
  });

  it('takes copies from stages that there are', () => {
    const stages = readInstructions(dockerfile)
      .filter(({ name }) => name === 'FROM')
      .map(({ text }) => / AS (\w+)$/.exec(text)?.[1]);
    const used = readInstructions(dockerfile)
      .filter(({ name }) => name === 'COPY')
      .map(({ text }) => /^--from=(\w+)/.exec(text)?.[1])
      .filter((stage) => stage !== undefined);
    expect(used.toSorted()).toEqual(['build', 'dependencies']);
    expect(used.filter((stage) => !stages.includes(stage))).toEqual([]);
  });

  it('can be built with each of the key providers', () => {
    const known = valueOf(final, 'ARG')
      .replace(/^PROVIDERS="|"$/g, '')
      .split(' ');
    expect([...known, 'local-keystore'].toSorted()).toEqual([...bundledProviders].toSorted());
    for (const { build } of Object.values(compose.services)) {
      for (const provider of build?.args['PROVIDERS']?.split(' ') ?? []) {
        expect([...known, 'local-keystore']).toContain(provider);
      }
    }
  });
});

describe('the images that all of it begins with', () => {
  const containerfiles = [dockerfile, 'softhsm/Containerfile', 'docker/full/anvil.Containerfile'];

  it('are named by a whole version, Node by the one that the tests run with', () => {
    const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      devDependencies: Record<string, string>;
    };
    const named = containerfiles.flatMap((path) =>
      readInstructions(path)
        .filter(({ name }) => name === 'FROM')
        .map(({ text }) => text.split(' ')[0] ?? ''),
    );
    const images = Object.values(compose.services).flatMap(({ image }) => image ?? []);
    const version = valueOf(readInstructions(dockerfile), 'FROM');
    expect(version).toBe('node:${NODE}-slim');
    const [node] = readInstructions(dockerfile);
    expect(node?.text).toBe(`NODE=${devDependencies['node']}-bookworm`);
    const tags = [...named, ...images].map((image) =>
      image.replace('${NODE}', node?.text.slice(5) ?? ''),
    );
    expect(tags.length).toBeGreaterThan(8);
    // debian has two numbers in all
    expect(tags.filter((tag) => !/:v?\d+\.\d+\.\d+|^debian:\d+\.\d+/.test(tag))).toEqual([]);
    expect(
      tags.filter(
        (tag) => tag.startsWith('node:') && !tag.includes(`:${devDependencies['node']}-`),
      ),
    ).toEqual([]);
  });
});

describe('docker-compose.yml', () => {
  const configPath = command[command.indexOf('--config') + 1] ?? '';

  it('has a signer in each profile, published on this machine only', () => {
    const profiles = Object.values(compose.services).flatMap(({ profiles }) => profiles);
    expect(new Set(profiles)).toEqual(new Set(['softhsm', 'aws', 'full']));
    for (const profile of new Set(profiles)) {
      const services = Object.values(compose.services).filter(
        (service) => service.profiles[0] === profile,
      );
      const ports = services.flatMap((service) => service.ports);
      expect(ports).toContain('127.0.0.1:7936:7936');
      expect(ports.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
    }
  });

  it.each([
    { name: 'signer', file: 'docker/softhsm.yaml', provider: 'pkcs11' },
    { name: 'signer-aws', file: 'docker/aws.yaml', provider: 'aws-kms' },
  ])(
    'gives $name a configuration that is valid, for a provider that is in its image',
    async ({ name, file, provider }) => {
      const service = compose.services[name];
      expect(service && mountsOf(service)[`./${file}`]).toBe(configPath);
      expect(service?.build?.args).toEqual({ PROVIDERS: provider });
      expect(service).toMatchObject({
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
      });
      const { keys } = await loadConfig(join(root, file), {});
      expect(keys.map(({ plugin }) => plugin.name)).toEqual([provider]);
    },
  );

  it('names only volumes that it declares, and build files that there are', () => {
    for (const service of Object.values(compose.services)) {
      expect(service.secrets.filter((name) => !(name in compose.secrets))).toEqual([]);
      for (const source of Object.keys(mountsOf(service))) {
        expect(
          source.startsWith('./') ? existsSync(join(root, source)) : source in compose.volumes,
        ).toBe(true);
      }
      if (service.build) expect(existsSync(join(root, service.build.dockerfile))).toBe(true);
    }
  });

  it('has the token’s socket and PIN where signer and token both look', () => {
    const { token, signer } = compose.services;
    const script = readFileSync(join(root, 'softhsm/serve-token.sh'), 'utf8');
    const socket = /SOCKET:-([^}]+)\}/.exec(script)?.[1] ?? '';
    const store = /TOKEN_STORE:-([^}]+)\}/.exec(script)?.[1] ?? '';
    const config = readFileSync(join(root, 'docker/softhsm.yaml'), 'utf8');
    expect(config).toContain(`P11_KIT_SERVER_ADDRESS: unix:path=${socket}\n`);
    const folder = socket.replace(/\/[^/]+$/, '');
    expect(config).toContain(`pin: file:${folder}/pin\n`);
    expect(token && mountsOf(token)).toEqual({ 'token-store': store, 'token-socket': folder });
    expect(signer && mountsOf(signer)).toEqual({
      './docker/softhsm.yaml': configPath,
      'token-socket': folder,
    });
    expect(token?.healthcheck?.test).toEqual(['CMD', 'test', '-S', socket]);
    const users = ['Dockerfile', 'softhsm/Containerfile'].map(
      (path) => /useradd [^\n]*--uid (\d+)/.exec(readFileSync(join(root, path), 'utf8'))?.[1],
    );
    expect(users).toEqual(['10001', '10001']);
  });

  it('has the library that the signer loads where the image puts it', () => {
    const library = '/usr/local/lib/p11-kit-client.so';
    expect(readFileSync(join(root, 'docker/softhsm.yaml'), 'utf8')).toContain(
      `module: ${library}\n`,
    );
    expect(readFileSync(join(root, 'docker/install-p11-kit.sh'), 'utf8')).toContain(
      ` ${library}\n`,
    );
  });

  it('has the signer find local-kms, in the same Region and on the network that they share', () => {
    const { kms, 'signer-aws': signer } = compose.services;
    const config = readFileSync(join(root, 'docker/aws.yaml'), 'utf8');
    expect(signer?.network_mode).toBe('service:kms');
    expect(config).toContain(`endpoint: http://127.0.0.1:${kms?.environment['PORT']}\n`);
    expect(config).toContain(`region: ${kms?.environment['KMS_REGION']}\n`);
  });
});
