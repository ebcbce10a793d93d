import type { Outcome } from '../domain/delivery.js';

/** One message, the same bytes and the same id at every attempt. */
export interface Message {
  readonly id: string;
  /** Milliseconds: when this attempt is made. */
  readonly at: number;
  readonly body: string;
}

/** Where alarms are sent. `send` MUST settle within `limitMs`, MUST NOT throw and MUST name no credential in an outcome. */
export interface Channel {
  /** For people: where it leads, without anything that opens a door. */
  readonly target: string;
  readonly limitMs: number;
  send(message: Message): Promise<Outcome>;
}
