import { describe, expect, it } from 'vitest';
import { capabilityOfPipeline } from '../../src/policy/pipelines.ts';

describe('capabilityOfPipeline', () => {
  it.each([
    ['text-to-image', 27],
    ['llm', 33],
    ['live-video-to-video', 35],
    ['byoc', 37],
  ])('gives the number of %s', (pipeline, capability) => {
    expect(capabilityOfPipeline(pipeline)).toBe(capability);
  });

  it.each(['', 'LLM', 'live', 'constructor', 'toString', '__proto__', 'hasOwnProperty'])(
    'gives undefined for %j, which is no pipeline',
    (pipeline) => {
      expect(capabilityOfPipeline(pipeline)).toBeUndefined();
    },
  );
});
