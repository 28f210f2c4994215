/** What payments of type `lv2v` are for. */
export const liveVideoToVideo = 35;

/** What BYOC jobs are for; its models are the orchestrators' own capabilities. */
export const byoc = 37;

/** Livepeer's capability numbers that have models and prices of their own, by pipeline name. */
const capabilities: Readonly<Record<string, number>> = {
  'text-to-image': 27,
  'image-to-image': 28,
  'image-to-video': 29,
  upscale: 30,
  'audio-to-text': 31,
  'segment-anything-2': 32,
  llm: 33,
  'image-to-text': 34,
  'live-video-to-video': liveVideoToVideo,
  'text-to-speech': 36,
  byoc,
};

/** The names of those pipelines. */
export const pipelineNames: readonly string[] = Object.keys(capabilities);

/** The capability number of a pipeline, e.g. 35 for `live-video-to-video`; undefined when there is none. */
export function capabilityOfPipeline(pipeline: string): number | undefined {
  return Object.hasOwn(capabilities, pipeline) ? capabilities[pipeline] : undefined;
}

const pipelines = new Map(Object.entries(capabilities).map(([name, number]) => [number, name]));

/** The pipeline's name of a capability number, e.g. `live-video-to-video` for 35; undefined when it has no models. */
export function pipelineOfCapability(capability: number): string | undefined {
  return pipelines.get(capability);
}
