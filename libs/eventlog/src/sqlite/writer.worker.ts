import { parentPort, receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads';
import { openDatabase } from './driver.js';
import { LARGEST_GROUP, Writer } from './writer.js';
import { packOutcomes, unpackAppends, type SentAppend } from './writer-messages.js';
import type { FromWriter, ToWriter, WriterData } from './writer-thread.js';

/** The thread the log is written on: takes whatever is waiting, stores it with one fsync, answers, takes again. */

const { path, idleCheckpointMs }: WriterData = workerData;
const port = ownPort();
const writer = new Writer(openDatabase(path));
const waiting: SentAppend[] = [];
let closing = false;
let idle: NodeJS.Timeout | undefined;

port.on('message', (first: ToWriter) => {
  clearTimeout(idle);
  accept(first);
  acceptArrived();
  while (waiting.length > 0) {
    const group = waiting.splice(0, LARGEST_GROUP);
    const outcomes = writer.commit(group.map(({ request }) => request));
    answer({
      kind: 'settled',
      outcomes: packOutcomes(
        group.flatMap(({ id }, index) => {
          const outcome = outcomes[index];
          return outcome === undefined ? [] : [{ id, outcome }];
        }),
      ),
      statistics: writer.statistics(),
    });
    acceptArrived();
  }
  if (closing) {
    writer.close();
    port.close();
  } else {
    idle = setTimeout(() => writer.checkpoint(), idleCheckpointMs).unref();
  }
});

answer({ kind: 'ready', statistics: writer.statistics() });

/** Everything that has arrived by now, without going back to the event loop. */
function acceptArrived(): void {
  for (;;) {
    const arrived: { message: ToWriter } | undefined = receiveMessageOnPort(port);
    if (arrived === undefined) return;
    accept(arrived.message);
  }
}

function accept(message: ToWriter): void {
  switch (message.kind) {
    case 'append':
      waiting.push(...unpackAppends(message.appends));
      return;
    case 'probe':
      answer({ kind: 'probed', outcome: writer.probe() });
      return;
    case 'close':
      closing = true;
      return;
  }
}

function answer(message: FromWriter): void {
  port.postMessage(message);
}

function ownPort(): MessagePort {
  if (parentPort === null) throw new Error('this file runs as a worker thread');
  return parentPort;
}
