import type { RunbookInput } from '../runbook-page.js';
import { familyWord } from './command-words.js';

/** One thing to do, with what to type. */
export interface EmergencyStep {
  readonly title: string;
  /** Ours, short and never cut. */
  readonly words?: string;
  /** As somebody wrote it in the runbook: may be shortened for the page. */
  readonly written?: string;
  /** Nobody wrote it, and nobody can compute it. */
  readonly missing?: true;
  /** To be typed as they stand; what is in capitals is to be filled in. */
  readonly commands?: readonly string[];
  /** What to know about the commands. */
  readonly after?: string;
}

/** What can be done for a family while Keyturn is down, and how it is recorded afterwards. Holds no secret value. */
export function emergencySteps(input: RunbookInput): readonly EmergencyStep[] {
  return [start(input), ...without(input), ...recording(input)];
}

function start({ family }: RunbookInput): EmergencyStep {
  const name = familyWord(family);
  const back =
    'Write down the time (UTC), what you saw and what you do: T+ counts from discovery. Then try to start Keyturn; it needs its data directory and its master key, nothing else.';
  if (family.mode === 'tracked') return { title: 'First', words: back, commands: ['keyturn serve'] };
  return {
    title: 'First',
    words: back,
    commands: [
      'keyturn serve',
      `keyturn emergency ${name} --compromised VERSION --discovered-at TIME --incident REF`,
    ],
    after:
      'Where that runs, you need nothing else of this card. Never start two Keyturns on copies of one data directory.',
  };
}

function without(input: RunbookInput): readonly EmergencyStep[] {
  switch (input.backEndKind ?? 'attested') {
    case 'local':
      return local(input);
    case 'vault-transit':
      return transit(input);
    case 'vault-kv':
      return keyValue(input);
    case 'vault-database':
      return database(input);
    case 'attested':
      return byHand(input);
  }
}

/** The local back end lives inside Keyturn: without it there is no new key and no signature, only a document to correct. */
function local({ family, windows }: RunbookInput): readonly EmergencyStep[] {
  const served = family.kind === 'asymmetric-key';
  const document = `custody/jwks/${family.id}.json`;
  const slowest = 'none' in windows ? undefined : windows.accept.binding;
  const emitters = namesOf(input(family, 'emitter'));
  return [
    {
      title: 'What still works',
      words:
        'Verifiers go on with the keys they hold. Nothing can sign with this key and nobody can make a new one: the private keys are sealed in the data directory, and only Keyturn opens them. Do not make one by hand: no document would ever hold it.',
      ...(slowest === undefined ? {} : { written: `Slowest to forget: ${slowest}.` }),
    },
    served
      ? {
          title: 'Take a key out',
          words: `The document is ${document} in the data directory, served at /jwks/${family.id}. Serve a corrected copy of it there, from the proxy or any web server, as application/jwk-set+json. VERSION is the kid.`,
          commands: [
            `jq '.keys |= map(select(.kid != "VERSION"))' DATA_DIR/${document} > WEB_ROOT/jwks/${family.id}`,
          ],
          after:
            'Do not edit the file itself: Keyturn writes it anew when it starts. Then empty every cache on the way and restart the verifiers that cache for long.',
        }
      : {
          title: 'Take a key out',
          words:
            'It is a shared secret, so no document is served. Remove it from the configuration of every verifier that holds a copy, and restart it.',
        },
    {
      title: 'Stop the emitters',
      ...(emitters === undefined ? { missing: true } : { written: emitters }),
    },
    {
      title: 'Who is hit',
      ...(family.runbook['blastRadius'] === undefined
        ? { missing: true }
        : { written: family.runbook['blastRadius'] }),
    },
  ];
}

function transit({ family }: RunbookInput): readonly EmergencyStep[] {
  const { word: key, meaning } = shortWord('KEY', lastPart(family.backEnd?.object));
  return [
    { title: 'Look first', ...meaning, commands: [`bao read transit/keys/${key}`], after: VAULT_NOTE },
    {
      title: 'Brake (OpenBao)',
      words: 'Stops signing and verifying with every version at once.',
      commands: [
        `bao delete transit/keys/${key}/soft-delete`,
        `bao write -f transit/keys/${key}/soft-delete-restore`,
      ],
    },
    {
      title: 'New version',
      words: 'Once, and nobody beside you. After an error look first: the call may have taken effect.',
      commands: [`bao write -f transit/keys/${key}/rotate`],
      after: 'Emitters that pin no key_version use it at once.',
    },
    {
      title: 'Revoke the old',
      words:
        'N is the new version. Always both numbers: 0 or none opens revoked versions again. Never trim: that cannot be undone.',
      commands: [`bao write transit/keys/${key}/config min_decryption_version=N min_encryption_version=N`],
    },
    {
      title: 'See that it is refused',
      words: 'An old signature must be answered "too old"; ask the active node, standbys lag.',
      commands: [`bao write transit/verify/${key} input=BASE64 signature=OLD_SIGNATURE`],
    },
    ...written(family, ['rollbackPlan']),
  ];
}

function keyValue({ family }: RunbookInput): readonly EmergencyStep[] {
  const { mount, path: whole } = mounted(family.backEnd?.object);
  const { word: path, meaning } = shortWord('PATH', whole);
  return [
    {
      title: 'Look first',
      ...meaning,
      commands: [`bao kv metadata get -mount=${mount} ${path}`],
      after: VAULT_NOTE,
    },
    {
      title: 'New version',
      words:
        'N is current_version. The value comes from a file only you can read, never from the command line; delete it afterwards.',
      commands: [`bao kv put -mount=${mount} -cas=N ${path} value=@FILE`],
      after: 'A mismatch after a lost answer may mean that your own first try won: look again.',
    },
    {
      title: 'Withdraw the old',
      words: 'It can be undone. Never destroy. The answer proves nothing: read the metadata back.',
      commands: [
        `bao kv delete -mount=${mount} -versions=OLD ${path}`,
        `bao kv undelete -mount=${mount} -versions=OLD ${path}`,
      ],
    },
    ...written(family, ['storage', 'verification', 'rollbackPlan']),
  ];
}

function database({ family }: RunbookInput): readonly EmergencyStep[] {
  const { word: role, meaning } = shortWord('ROLE', lastPart(family.backEnd?.object));
  return [
    {
      title: 'Look first',
      ...meaning,
      words: 'Note last_vault_rotation.',
      commands: [`bao read database/static-roles/${role}`],
      after: VAULT_NOTE,
    },
    {
      title: 'New password',
      words:
        'Once. It cannot be undone: there is one password, and the old one is refused for new connections at once.',
      commands: [`bao write -f database/rotate-role/${role}`],
      after:
        'After an error wait 30 s (105 s where it hung), look again and try the password: it may have been done. Only then once more.',
    },
    {
      title: 'Open connections',
      words: 'They go on with the old password: end them in the database, emitters last.',
    },
    ...written(family, ['rolloutOrder', 'verification']),
  ];
}

const VAULT_NOTE = 'With HashiCorp Vault the same by vault instead of bao.';

/** People do it: what they wrote down is all there is. */
function byHand({ family }: RunbookInput): readonly EmergencyStep[] {
  const emitters = namesOf(input(family, 'emitter'));
  return [
    {
      title: 'Where it lives',
      ...(family.runbook['storage'] === undefined
        ? { missing: true }
        : { written: family.runbook['storage'] }),
      ...(family.backEnd === null
        ? {}
        : { after: `Back end ${family.backEnd.instance}: ${family.backEnd.object}` }),
    },
    ...written(family, ['rolloutOrder', 'verification', 'rollbackPlan', 'blastRadius']),
    { title: 'Emitters', ...(emitters === undefined ? { missing: true } : { written: emitters }) },
  ];
}

const TITLES = {
  storage: 'Where it lives',
  rolloutOrder: 'Rollout order',
  verification: 'Verification',
  rollbackPlan: 'Rollback plan',
  blastRadius: 'Who is hit',
} as const;

function written(
  { runbook }: RunbookInput['family'],
  names: readonly (keyof typeof TITLES)[],
): readonly EmergencyStep[] {
  return names.map((name) => {
    const text = runbook[name];
    return text === undefined
      ? { title: TITLES[name], missing: true }
      : { title: TITLES[name], written: text };
  });
}

/** What was done without Keyturn is told to it as soon as it is back; else its record and the world differ. */
function recording(page: RunbookInput): readonly EmergencyStep[] {
  const { family, backEndKind } = page;
  const name = familyWord(family);
  if (family.mode === 'driven' && backEndKind === 'local') {
    return [
      {
        title: 'Record it afterwards',
        words:
          'As soon as Keyturn is back, before the proxy points to it again: its own document still holds what you took out.',
        commands: [
          `keyturn contain ${name} --version VERSION --reason "taken out by hand at TIME by WHO" --incident REF`,
          `keyturn emergency ${name} --compromised VERSION --discovered-at TIME --incident REF`,
          `keyturn note ROTATION "TIME: what was done by hand, by whom, and where the evidence lies"`,
        ],
        after:
          'A rotation that was under way goes on by itself; it looks at the back end before it acts. Approval and review are owed afterwards.',
      },
    ];
  }
  if (family.mode !== 'tracked') {
    return [
      {
        title: 'Record it afterwards',
        words:
          'As soon as Keyturn is back: declare it, then attest each step that was done, in this order; where Keyturn drives the family, take each over first (--take-over --reason "done by hand").',
        commands: [
          `keyturn emergency ${name} --compromised OLD --discovered-at TIME --incident REF`,
          `keyturn attest ${name} --step generate --version NEW --by WHO --at TIME --evidence URL`,
          `keyturn attest ${name} --step revoke --by WHO --at TIME --evidence URL`,
        ],
        after:
          'The other steps between them likewise; keyturn status says which is waited for. No value belongs into it. Approval and review are owed afterwards.',
      },
    ];
  }
  return [
    {
      title: 'Record it afterwards',
      words: `Into a file, with the facts that happened and their own times, left out where nobody noted them; then: keyturn import FILE`,
      commands: [importFile(family)],
      after: 'Nothing is filled in, and no value belongs into the file. The same file again adds nothing.',
    },
  ];
}

/** A history file (`keyturn-history/1`), each line an entry. */
export function importFile({
  qualifiedName,
  algorithm,
}: Pick<RunbookInput['family'], 'qualifiedName' | 'algorithm'>): string {
  const asked = json(qualifiedName);
  const family = asked.length > 120 ? '"ENVIRONMENT/NAME"' : asked;
  return [
    '{"format":"keyturn-history/1","source":"REF, by hand","entries":[',
    `{"rotation":{"label":"REF","family":${family},"strategy":"emergency","trigger":"compromise","reason":"WHY"},"facts":[`,
    `{"type":"KeyGenerated","at":"2026-01-31T02:10:00Z","by":"WHO","data":{"versionId":"NEW","algorithm":"${algorithm ?? 'ALGORITHM'}"}},`,
    '{"type":"OldKeyRevoked","at":"2026-01-31T02:20:00Z","by":"WHO","data":{"versions":["OLD"]}}]}]}',
  ].join('\n');
}

/** ASCII only: what no keyboard at hand can type is spelled. */
function json(text: string): string {
  return JSON.stringify(text).replaceAll(/[^\u0020-\u007e]/gu, (character) =>
    Array.from({ length: character.length }, (_, index) => character.charCodeAt(index))
      .map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`)
      .join(''),
  );
}

function input({ consumers }: RunbookInput['family'], role: string): RunbookInput['family']['consumers'] {
  return consumers.filter(({ roles }) => roles.includes(role));
}

function namesOf(consumers: RunbookInput['family']['consumers']): string | undefined {
  if (consumers.length === 0) return undefined;
  return consumers
    .map(({ name, thirdParty, instances }) => {
      const details = [
        ...(thirdParty ? ['third party'] : []),
        ...(instances === 1 ? [] : [`${instances} instances`]),
      ];
      return details.length === 0 ? name : `${name} (${details.join(', ')})`;
    })
    .join('; ');
}

/** A name that would fill the card if every command repeated it stands there once. */
function shortWord(
  placeholder: string,
  name: string,
): { readonly word: string; readonly meaning: Pick<EmergencyStep, 'written'> } {
  return name.length <= 40
    ? { word: name, meaning: {} }
    : { word: placeholder, meaning: { written: `${placeholder} is ${name}` } };
}

function lastPart(object: string | undefined): string {
  return object?.split('/').at(-1) ?? 'NAME';
}

function mounted(object: string | undefined): { readonly mount: string; readonly path: string } {
  const [mount = 'secret', ...path] = (object ?? 'secret/PATH').split('/');
  return { mount, path: path.join('/') };
}
