import type { Path } from './path.js';

/** Reports every text and every name, however deep, that is no text for a file or looks like a secret value. */
export function findSecrets(
  value: unknown,
  report: (path: Path, message: string) => void,
  path: Path = [],
): void {
  if (typeof value === 'string') {
    const problem = secretProblem(
      value,
      path.findLast((part) => typeof part === 'string'),
    );
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
  return looksSecret(text, typeof field === 'string' && DIGESTS.has(field)) ? SECRET_REFUSED : undefined;
}

/** No field takes more; looking for patterns in more would only cost time. */
const LONGEST_TEXT = 10_000;

/** Fields that hold digests, and names that may be one: a key id is often the thumbprint of its key (RFC 7638). */
const DIGESTS: ReadonlySet<string> = new Set([
  'compromisedVersions',
  'fingerprint',
  'from',
  'incoming',
  'kid',
  'leftAccepted',
  'outgoing',
  'sha256',
  'to',
  'versionId',
  'versions',
]);

const SECRET_SHAPES: readonly RegExp[] = [
  // A public key may be shown to everybody.
  /-----BEGIN(?! (?:[A-Z0-9]+ )?PUBLIC KEY-----)/i,
  // A JWT, also one without its signature.
  /eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?/,
  // Tokens of well-known kinds: AWS, GitHub, Vault, Stripe, Slack.
  /\bAKIA[0-9A-Z]{16}\b/,
  /\bgh[pousr]_\w{20,}/,
  /\bhv[sbr]\.[\w-]{20,}/,
  /\b[sr]k_(?:live|test)_\w{10,}/,
  /\bxox[a-z]-[\w-]{10,}/,
  // Tokens of Keyturn itself, GitLab, npm, Google, Anthropic and OpenAI, and an age identity.
  /\bkt\w?_[\w-]{43}/,
  /\bgithub_pat_\w{20,}/,
  /\bglpat-[\w-]{20,}/,
  /\bnpm_\w{30,}/,
  /\bAIza[\w-]{35}/,
  /\bsk-(?:ant|proj)-[\w-]{20,}/,
  /\bAGE-SECRET-KEY-1/i,
  // A password inside a URL, and whoever is named before the host of a link: a token often stands there alone.
  /\/\/[^\s/:@]*:[^\s/@]+@/,
  /\bhttps?:[/\\]*[^\s/\\?#@]+@/i,
  // A link that opens by itself: signed (AWS, Google, Azure), or with a token in its query or fragment.
  /[?&;#](?:[\w.-]*(?:signature|token|secret|passw(?:or)?d|credential|api[-_]?key|access[-_]?key)|sig|pwd|jwt)=[^\s&#;]/i,
];

/** A digest looks like a value; where none can stand, that much randomness is one. */
function looksSecret(text: string, digest = false): boolean {
  if (text.length > LONGEST_TEXT) return true;
  if ([text, decoded(text)].some((form) => SECRET_SHAPES.some((shape) => shape.test(form)))) return true;
  if (digest) return false;
  // A digest that says of which kind it is, as of an image or an SSH key; and a public key, as it is written.
  const rest = text
    .replaceAll(/\bsha-?(?:256|384|512)[:=-][\w+/-]+=*/gi, '')
    .replaceAll(/-----BEGIN (?:[A-Z0-9]+ )?PUBLIC KEY-----[\s\w+/=\\]*-----END/g, '')
    .replaceAll(/\b(?:ssh|ecdsa)-[\w-]+ AAAA[\w+/]+=*/g, '');
  // 32 bytes of base64 are 43 signs; paths and sentences hold no such mixture without a break. Of hex they are 64.
  return (rest.match(/[\w+/-]{43,}/g) ?? []).some(
    (run) =>
      HEX.test(run) ||
      (/\d/.test(run) && /[a-z]/.test(run) && /[A-Z]/.test(run) && !UUID_INSIDE.test(run) && isMixed(run)),
  );
}

/** In base64 two neighbours in three are of different kinds; in words, dates and numbers with breaks between them few are. */
function isMixed(run: string): boolean {
  let changes = 0;
  for (let index = 1; index < run.length; index += 1) {
    if (kindOf(run[index]) !== kindOf(run[index - 1])) changes += 1;
  }
  return changes > run.length * LEAST_MIXED;
}

const LEAST_MIXED = 0.4;

function kindOf(sign = ''): 'digit' | 'lower' | 'upper' | 'other' {
  if (/\d/.test(sign)) return 'digit';
  if (/[a-z]/.test(sign)) return 'lower';
  return /[A-Z]/.test(sign) ? 'upper' : 'other';
}

/** What a percent sign hides; a text that is no such encoding stays as it is. */
function decoded(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text.replaceAll(/(?:%[0-7][0-9a-f])+/gi, (run) => decodeURIComponent(run));
  }
}

const HEX = /(?<![0-9a-f])[0-9a-f]{64,}(?![0-9a-f])/i;
const UUID_INSIDE = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/;
