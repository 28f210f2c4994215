import { describe, expect, it } from 'vitest';
import {
  capabilityOfPipeline,
  pipelineNames,
  pipelineOfCapability,
} from '../../src/policy/pipelines.ts';

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

describe('pipelineOfCapability', () => {
  it('gives each pipeline back from its number', () => {
    expect(pipelineNames).toHaveLength(11);
    for (const name of pipelineNames) {
      expect(pipelineOfCapability(capabilityOfPipeline(name) ?? 0)).toBe(name);
    }
    expect(pipelineOfCapability(26)).toBeUndefined();
    expect(pipelineOfCapability(38)).toBeUndefined();
  });
});
