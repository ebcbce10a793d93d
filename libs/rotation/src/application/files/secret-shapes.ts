import type { Path } from './path.js';

/** Reports every text and every name, however deep, that is no text for a file or looks like a secret value. */
export function findSecrets(
  value: unknown,
  report: (path: Path, message: string) => void,
  path: Path = [],
): void {
  if (typeof value === 'string') {
    const problem = secretProblem(value, path.at(-1));
    if (problem !== undefined) report(path, problem);
  } else if (Array.isArray(value)) {
    value.forEach((item: unknown, index) => {
      findSecrets(item, report, [...path, index]);
    });
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, inner] of Object.entries(value)) {
      if (looksSecret(name)) report([...path, name], SECRET_REFUSED);
      findSecrets(inner, report, [...path, name]);
    }
  }
}

/** A field's name as it may be repeated. */
export function nameShown(name: string): string {
  return looksSecret(name) ? '(a name that looks like secret material)' : name.slice(0, 60);
}

const SECRET_REFUSED =
  'looks like secret material and is refused: only names, times and fingerprints stand here, never a value';

/** What is wrong with a text as such, whatever its field: half a character, or what looks like a secret. */
export function secretProblem(text: string, field: string | number | undefined): string | undefined {
  if (text.length > LONGEST_TEXT) return `must not be longer than ${LONGEST_TEXT} characters`;
  if (!text.isWellFormed()) return 'must be well-formed Unicode';
  return looksSecret(text, field === 'fingerprint') ? SECRET_REFUSED : undefined;
}

/** No field takes more; looking for patterns in more would only cost time. */
const LONGEST_TEXT = 10_000;

const SECRET_SHAPES: readonly RegExp[] = [
  /-----BEGIN/i,
  // A JWT, also one without its signature.
  /eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?/,
  // Tokens of well-known kinds: AWS, GitHub, Vault, Stripe, Slack.
  /\bAKIA[0-9A-Z]{16}\b/,
  /\bgh[pousr]_\w{20,}/,
  /\bhv[sbr]\.[\w-]{20,}/,
  /\b[sr]k_(?:live|test)_\w{10,}/,
  /\bxox[a-z]-[\w-]{10,}/,
  // A password inside a URL.
  /\/\/[^\s/:@]+:[^\s/@]+@/,
];

/** A fingerprint is a digest and looks like one; everywhere else that much randomness is a value. */
function looksSecret(text: string, fingerprint = false): boolean {
  if (text.length > LONGEST_TEXT) return true;
  if (SECRET_SHAPES.some((shape) => shape.test(text))) return true;
  if (fingerprint) return false;
  // 32 bytes of base64 are 43 signs; paths and sentences hold no such mixture without a break. Of hex they are 64.
  return (text.match(/[\w+/-]{43,}/g) ?? []).some(
    (run) =>
      HEX.test(run) || (/\d/.test(run) && /[a-z]/.test(run) && /[A-Z]/.test(run) && !UUID_INSIDE.test(run)),
  );
}

const HEX = /(?<![0-9a-f])[0-9a-f]{64,}(?![0-9a-f])/i;
const UUID_INSIDE = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/;
