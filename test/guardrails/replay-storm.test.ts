import { describeReplayStorm } from './replay-storm.ts';

describeReplayStorm(2_000);
