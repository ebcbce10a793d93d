import { request as requestHttp } from 'node:http';
import { Agent, request as requestHttps } from 'node:https';
import type { SecretValue } from '#platform';
import type { Outcome } from '../domain/delivery.js';
import type { Channel, Message } from './channel.js';
import { signatureHeaders } from './signature.js';

/** From the first byte to the answer's status. */
const LIMIT_MS = 10_000;

/** Nothing was sent: no connection, no name, no trust. */
const NEVER_SENT =
  /^(?:ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ERR_TLS_.*|CERT_.*|.*_CERT.*|SELF_SIGNED.*|UNABLE_TO_.*|EPROTO)$/;

/**
 * A signed POST. Follows no redirect (it would carry the alarm to wherever it points), uses no proxy of the environment,
 * verifies TLS whatever the environment says, reads nothing of the answer but its status.
 */
export class PostChannel implements Channel {
  readonly target: string;
  readonly limitMs: number;
  readonly #url: SecretValue;
  readonly #secret: SecretValue;

  /** The path of the address may itself be what opens the door: only its origin is ever shown. */
  constructor({
    url,
    secret,
    limitMs = LIMIT_MS,
  }: {
    readonly url: SecretValue;
    readonly secret: SecretValue;
    readonly limitMs?: number;
  }) {
    this.#url = url;
    this.#secret = secret;
    this.limitMs = limitMs;
    this.target = `POST ${new URL(url.reveal().toString('utf8')).origin}`;
  }

  send(message: Message): Promise<Outcome> {
    const url = new URL(this.#url.reveal().toString('utf8'));
    return new Promise((resolve) => {
      const options = {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'content-length': String(Buffer.byteLength(message.body)),
          'user-agent': 'Keyturn',
          ...signatureHeaders(this.#secret, message),
        },
      };
      const sent =
        url.protocol === 'https:'
          ? requestHttps(url, {
              ...options,
              agent: new Agent({ keepAlive: false, rejectUnauthorized: true }),
            })
          : requestHttp(url, { ...options, agent: false });
      const settle = (outcome: Outcome): void => {
        clearTimeout(late);
        resolve(outcome);
        sent.destroy();
      };
      const late = setTimeout(() => {
        settle({ kind: 'unknown', reason: `no answer within ${this.limitMs / 1_000} s` });
      }, this.limitMs);
      sent.on('response', ({ statusCode = 0 }) => {
        if (statusCode >= 200 && statusCode < 300)
          settle({ kind: 'delivered', answer: `HTTP ${statusCode}` });
        else if (statusCode >= 300 && statusCode < 400) {
          settle({ kind: 'refused', reason: `HTTP ${statusCode}: a redirect is not followed` });
        } else settle({ kind: 'refused', reason: `HTTP ${statusCode}` });
      });
      sent.on('error', (error: NodeJS.ErrnoException) => {
        // Of the error only its code: a message may quote the address.
        const code = error.code ?? 'connection broken';
        settle({ kind: NEVER_SENT.test(code) ? 'unreachable' : 'unknown', reason: code });
      });
      sent.end(message.body);
    });
  }
}
