import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * Fetches the jars of a Kafka broker into test/kafka/lib with Maven, where they are missing. Says on standard error what it
 * does, and sets the exit code when it could not.
 */
export function installKafka(): void {
  const folder = fileURLToPath(new URL('../kafka', import.meta.url));
  if (existsSync(`${folder}/lib/kafka_2.13-4.1.0.jar`)) return;
  console.error('fetching the jars of the Kafka broker into test/kafka/lib');
  const goal = ['dependency:copy-dependencies', '-DoutputDirectory=lib', '-DincludeScope=runtime'];
  const { status } = spawnSync('mvn', ['-q', '-B', ...goal], {
    cwd: folder,
    stdio: ['ignore', 2, 2],
  });
  if (status === 0) return;
  console.error(`could not fetch them; run mvn ${goal.join(' ')} in ${folder}, then try again`);
  process.exitCode = 1;
}
