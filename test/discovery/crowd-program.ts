/**
 * The fifty orchestrators in a process of their own. Prints their list as one JSON line; half of the time the flapping ones
 * fail; on SIGUSR2 the leaving ones go. Ends on SIGTERM.
 */
import { startCrowd } from './fifty.ts';

/** Two of them are no interval of discovery's: the questions would all come while they fail. */
const flapIntervalMs = 1_100;

const crowd = await startCrowd();
const flapping = setInterval(() => crowd.flap(), flapIntervalMs);
process.once('SIGUSR2', () => void crowd.leave());
process.once('SIGTERM', () => {
  clearInterval(flapping);
  void crowd.close();
});
console.log(JSON.stringify(crowd.members));
