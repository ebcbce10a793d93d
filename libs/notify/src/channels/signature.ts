import { createHmac } from 'node:crypto';
import { SecretValue } from '#platform';

/**
 * Headers after Standard Webhooks 1.0 (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md):
 * the id is the same at every attempt, the timestamp (seconds) is the attempt's, the signature is HMAC-SHA256 over
 * `id.timestamp.body`, base64, with its version before it.
 */
export function signatureHeaders(
  secret: SecretValue,
  { id, at, body }: { readonly id: string; readonly at: number; readonly body: string },
): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(at / 1_000));
  const signature = createHmac('sha256', secret.reveal())
    .update(`${id}.${timestamp}.${body}`)
    .digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
}

/** The specification asks for 24 to 64 bytes. */
export const SECRET_BYTES = { least: 24, most: 64 } as const;

/** A secret as it is handed out: `whsec_` and base64, or the text itself. `undefined` where it is too short or too long. */
export function hookSecret(text: string): SecretValue | undefined {
  const told = text.trim();
  const bytes = told.startsWith('whsec_')
    ? Buffer.from(told.slice('whsec_'.length), 'base64')
    : Buffer.from(told, 'utf8');
  return bytes.length < SECRET_BYTES.least || bytes.length > SECRET_BYTES.most
    ? undefined
    : new SecretValue(bytes);
}
