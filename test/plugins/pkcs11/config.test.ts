import { describe, expect, it } from 'vitest';
import { configSchema, resolveConfig } from '../../../plugins/pkcs11/config.ts';
import { Secret, type ProviderContext } from '../../../src/keys/provider.ts';

const context: ProviderContext = {
  resolvePath: (path) => (path.startsWith('/') ? path : `/etc/signer/${path}`),
  readSecret: (reference) => new Secret(`content of ${reference}`),
  log: () => undefined,
};

const valid = { module: '/lib/hsm.so', token: 'livepeer', label: 'payer', pin: 'env:PIN' };

function problemsOf(section: unknown): string[] {
  const { error } = configSchema.safeParse(section);
  return (error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);
}

function resolve(section: unknown) {
  return resolveConfig(configSchema.parse(section), context);
}

describe('the pkcs11 section', () => {
  it('needs a module, a token and a key, and has defaults for the rest', () => {
    expect(resolve(valid)).toMatchObject({
      module: '/lib/hsm.so',
      target: { token: 'livepeer', label: 'payer' },
      keyRef: 'pkcs11:token=livepeer;object=payer',
      sessions: 4,
      allowExtractable: false,
      environment: {},
    });
  });

  it('takes the module and values of environment that start with a dot relative to the file', () => {
    const environment = {
      SOFTHSM2_CONF: '../.dev/softhsm2.conf',
      HSM_MODE: 'fast',
      LOG: '/var/log',
    };
    const resolved = resolve({ ...valid, module: 'lib/hsm.so', environment });
    expect(resolved.module).toBe('/etc/signer/lib/hsm.so');
    expect(resolved.environment).toEqual({
      SOFTHSM2_CONF: '/etc/signer/../.dev/softhsm2.conf',
      HSM_MODE: 'fast',
      LOG: '/var/log',
    });
  });

  it('can name the token by serial or slot and the key by id', () => {
    const { keyRef } = resolve({ module: '/lib/hsm.so', serial: 'ab 12', slot: 7, id: '0AfF' });
    expect(keyRef).toBe('pkcs11:serial=ab%2012;slot-id=7;id=%0a%ff');
  });

  it('prints the PIN nowhere', () => {
    expect(JSON.stringify(resolve(valid))).not.toContain('content of');
  });

  it.each([
    {
      what: 'everything that is missing, at once',
      section: {},
      problems: [
        'module: the path of the PKCS#11 library is missing (or module-path in uri)',
        'token: say which token: token (label), serial or slot',
        'label: say which key: label or id',
      ],
    },
    {
      what: 'a PIN instead of a reference',
      section: { ...valid, pin: '123456' },
      problems: ['pin: expected a reference, env:NAME or file:PATH, not the PIN itself'],
    },
    {
      what: 'an id that YAML read as a number',
      section: { ...valid, id: 1 },
      problems: ['id: expected hex digits in quotes, such as "01"'],
    },
    {
      what: 'an id of an odd number of digits',
      section: { ...valid, id: '123' },
      problems: ['id: expected an even number of hex digits'],
    },
    {
      what: 'fields beside a URI that says the same',
      section: {
        ...valid,
        uri: 'pkcs11:token=a;object=b?module-path=/lib/hsm.so&pin-source=file:/pin',
      },
      problems: [
        'token: uri selects the key: leave this field out',
        'label: uri selects the key: leave this field out',
        'module: the uri gives it already: keep one of the two',
        'pin: the uri gives it already: keep one of the two',
      ],
    },
    {
      what: 'a URI with the PIN in it, without repeating it',
      section: { uri: 'pkcs11:token=a;object=b?module-path=/lib/hsm.so&pin-value=123456' },
      problems: [
        'uri: pin-value would put the PIN into the configuration: use pin-source=file:PATH',
      ],
    },
    {
      what: 'a URI that selects no key',
      section: { module: '/lib/hsm.so', uri: 'pkcs11:token=a' },
      problems: ['uri: say which key: label or id'],
    },
  ])('reports $what', ({ section, problems }) => {
    expect(problemsOf(section)).toEqual(problems);
  });

  it.each([
    { what: 'an unknown field', section: { ...valid, tokne: 'x' } },
    { what: 'no session at all', section: { ...valid, sessions: 0 } },
    { what: 'more sessions than threads are sensible', section: { ...valid, sessions: 65 } },
    { what: 'a negative slot', section: { ...valid, slot: -1 } },
  ])('refuses $what', ({ section }) => {
    expect(problemsOf(section)).toHaveLength(1);
  });
});

describe('the uri field', () => {
  it('replaces the other fields', () => {
    const uri =
      'pkcs11:token=My%20Token;serial=00ff;slot-id=3;object=p%C3%A4yer;id=%01A;type=private?module-path=/lib/a%20b.so&pin-source=file:///run/pin';
    const { pin, ...resolved } = resolve({ uri });
    expect(resolved).toMatchObject({
      module: '/lib/a b.so',
      target: { token: 'My Token', serial: '00ff', slot: 3, label: 'päyer', id: '0141' },
      keyRef: 'pkcs11:token=My%20Token;serial=00ff;slot-id=3;object=p%C3%A4yer;id=%01%41',
    });
    expect(pin?.reveal()).toBe('content of file:/run/pin');
  });

  it('may be as p11tool prints it, padding and empty fields included', () => {
    const { module, pin } = valid;
    const token = 'model=SLB9672%00%00%00;manufacturer=;serial=00;token=my%20token%20%20';
    const uri = `pkcs11:${token};id=%01%0f;object=payer;type=private`;
    expect(resolve({ module, pin, uri }).target).toEqual({
      token: 'my token',
      serial: '00',
      model: 'SLB9672',
      manufacturer: '',
      label: 'payer',
      id: '010f',
    });
  });

  it('may leave module and pin to their own fields', () => {
    const { module, pin } = valid;
    const resolved = resolve({ module, pin, uri: 'pkcs11:token=a;object=b' });
    expect(resolved.module).toBe('/lib/hsm.so');
    expect(resolved.pin?.reveal()).toBe('content of env:PIN');
  });

  it.each([
    ['token=a', 'a PKCS#11 URI starts with "pkcs11:"'],
    ['pkcs11:token=a;token=b;object=c', 'attribute token is given twice'],
    ['pkcs11:token=;object=c', 'attribute token is empty'],
    ['pkcs11:token=%zz;object=c', 'attribute token is not percent-encoded UTF-8'],
    ['pkcs11:token=a;id=%0', 'attribute id is not percent-encoded UTF-8'],
    ['pkcs11:token=a;object=c;slot-id=x', 'slot-id must be a decimal number'],
    [
      'pkcs11:token=a;object=c;type=public',
      'type must be "private" or left out: the key that signs is meant',
    ],
    ['pkcs11:token=a;object=c?pin-source=|cat', 'pin-source must be file:PATH'],
    [
      'pkcs11:token=a;object=c;library-version=3',
      'an attribute "library-version" is not supported here; known: token, serial, model, manufacturer, object, id, slot-id, type',
    ],
  ])('refuses %s', (uri, problem) => {
    expect(problemsOf({ module: '/lib/hsm.so', uri })).toEqual([`uri: ${problem}`]);
  });
});
