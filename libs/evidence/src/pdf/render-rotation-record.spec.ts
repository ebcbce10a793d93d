import { jest } from '@jest/globals';
import { renderRotationRecord } from './render-rotation-record.js';
import {
  emergencyDossier,
  foreignDossier,
  gracefulDossier,
  longDossier,
  rolledBackDossier,
  stockEaseDossier,
} from '../testing/dossiers.js';
import type { RotationEvent } from '#rotation';
import { readPdf } from '../testing/pdf-reader.js';
import type { RotationDossier } from '../dossier.js';

const DOSSIERS: readonly (readonly [string, () => RotationDossier])[] = [
  ['graceful', gracefulDossier],
  ['rolled back', rolledBackDossier],
  ['emergency', emergencyDossier],
  ['StockEase, imported', stockEaseDossier],
  ['long', longDossier],
  ['other scripts', foreignDossier],
];

const textOnce = async (dossierOf: () => RotationDossier): Promise<string> =>
  readPdf(await drawnOnce(dossierOf)).pages.join(' ');

const textOf = async (dossier: RotationDossier): Promise<string> =>
  readPdf(await renderRotationRecord(dossier)).pages.join(' ');

jest.setTimeout(30_000);

/** Each record is drawn once for all of its questions. */
const drawn = new Map<() => RotationDossier, Promise<Buffer>>();
function drawnOnce(dossierOf: () => RotationDossier): Promise<Buffer> {
  const pdf = drawn.get(dossierOf) ?? renderRotationRecord(dossierOf());
  drawn.set(dossierOf, pdf);
  return pdf;
}

it('the same facts give the same bytes, at another second too', async () => {
  const first = await Promise.all(DOSSIERS.map(([, dossierOf]) => drawnOnce(dossierOf)));
  await new Promise((resolve) => setTimeout(resolve, 1100));
  for (const [index, [, dossierOf]] of DOSSIERS.entries()) {
    expect(first[index]?.equals(await renderRotationRecord(dossierOf()))).toBe(true);
  }
  // Twelve records on a busy machine take longer than the usual five seconds.
}, 120_000);

describe.each(DOSSIERS)('the record: %s', (_, dossierOf) => {
  // Read by hand, not by poppler: objects, streams and text come out of the file's own tables.
  it('is tagged, titled, in English, and embeds every font', async () => {
    const { objects, pages } = readPdf(await drawnOnce(dossierOf));
    const catalog = objects.find((object) => object.includes('/Type /Catalog')) ?? '';
    expect(catalog).toMatch(/\/StructTreeRoot \d+ 0 R/u);
    expect(catalog).toContain('/Lang (en)');
    expect(objects.some((object) => object.includes('/DisplayDocTitle true'))).toBe(true);
    expect(objects.some((object) => object.includes('/Marked true'))).toBe(true);
    expect(objects.filter((object) => /\/Type \/Page\b(?!s)/u.test(object))).toHaveLength(pages.length);

    const fonts = objects.filter((object) => object.includes('/Type /Font\n'));
    const descriptors = objects.filter((object) => object.includes('/Type /FontDescriptor'));
    expect(fonts.filter((object) => object.includes('/Subtype /Type1'))).toEqual([]);
    expect(descriptors.length).toBeGreaterThan(1);
    for (const descriptor of descriptors) expect(descriptor).toMatch(/\/FontFile[23] \d+ 0 R/u);

    const headers = objects.filter((object) => /\/S \/TH\b/u.test(object));
    expect(headers.length).toBeGreaterThan(10);
    for (const header of headers) expect(header).toMatch(/\/Scope \/(Column|Row)/u);
    expect(objects.some((object) => /\/S \/Document\b/u.test(object))).toBe(true);
  });

  it('numbers its pages and says as of what it is', async () => {
    const dossier = dossierOf();
    const { pages } = readPdf(await drawnOnce(dossierOf));
    pages.forEach((page, index) => {
      expect(page).toContain(`Page ${index + 1} of ${pages.length}`);
      expect(page).toContain(`tree size ${dossier.treeSize}`);
      expect(page).toContain(`Log ${dossier.logId.slice(0, 8)}`);
    });
  });

  it('never judges and never verifies itself', async () => {
    const text = readPdf(await drawnOnce(dossierOf)).pages.join(' ');
    expect(text).not.toMatch(/compliant|satisfied|immutable|cannot be altered/iu);
    expect(text).toContain('it does not verify itself');
  });

  it('claims no PDF profile', async () => {
    const pdf = await drawnOnce(dossierOf);
    expect(pdf.toString('latin1')).not.toMatch(/pdfaid|pdfuaid/u);
  });
});

describe('a completed rotation', () => {
  it('shows the numbers of its facts', async () => {
    const text = await textOnce(gracefulDossier);
    expect(text).toContain('Outcome Completed 2025-11-13 11:41:00 UTC');
    expect(text).toContain('production / orders-signing');
    expect(text).toContain('Alice Moreau');
    expect(text).toContain('another subject than the requester');
    expect(text).toContain('Signing keys, 90 days, revision 3');
    // Accept: 2025-11-10 09:13:02 to the emit step; drain: 2025-11-11 10:40:00 to the revocation.
    expect(text).toContain('1 d 1 h 11 min 10 s');
    expect(text).toContain('2 d 8 s');
    expect(text).toContain('mobile-app caches its JWKS for 24 h');
    expect(text).toContain('checkout-gateway verifier 4 of 4 2025-11-10 11:00:00');
    expect(text).toContain('Step failed, outcome unknown: accept');
    expect(text).toContain('found done when observed');
    expect(text).not.toContain('EXAMPLE DATA');
  });

  it('names an approver who was the requester', async () => {
    const dossier = gracefulDossier();
    const rotationEvents = dossier.rotationEvents.map((event) =>
      event.type === 'RotationApproved'
        ? { ...event, actor: dossier.rotationEvents[0]?.actor ?? event.actor }
        : event,
    );
    expect(await textOf({ ...dossier, rotationEvents })).toContain('the same subject as the requester');
  });

  it('says when no policy applied', async () => {
    const dossier = gracefulDossier();
    const rotationEvents = dossier.rotationEvents.map((event) => {
      if (event.type !== 'RotationPlanned') return event;
      const { policy: _, ...data } = event.data;
      return { ...event, data };
    });
    expect(await textOf({ ...dossier, rotationEvents })).toContain('No policy applied');
  });
});

describe('a rolled back rotation', () => {
  it('is never shown as completed', async () => {
    const text = await textOnce(rolledBackDossier);
    expect(text).toContain('Outcome Rolled back (not a completed rotation) 2025-11-13 13:20:13 UTC');
    expect(text).not.toMatch(/Outcome Completed/u);
    expect(text).toContain('ended by the rollback');
  });
});

describe('an emergency', () => {
  it('counts from discovery and shows no target as an actual', async () => {
    const text = await textOnce(emergencyDossier);
    expect(text).toContain('Emergency rotation record');
    expect(text).toContain(
      'new key on all servers DualAcceptDeployed T+0:15 T+0:17:05 2025-12-02 02:22:05 late',
    );
    expect(text).toContain('old key denied ContainmentApplied T+0:20 T+0:04:04 2025-12-02 02:09:04 met');
    expect(text).toContain(
      'sessions ended SessionsInvalidated T+0:30 T+0:36 2025-12-02 02:41:00 stated: T+0:28 late',
    );
    expect(text).toContain(
      'sign-in verified ReauthenticationVerified T+0:45 not recorded not recorded not recorded',
    );
    expect(text).toContain(
      'review held PostIncidentReviewed T+24:00 not recorded not recorded not recorded not yet due',
    );
  });

  it('tells revoked from no longer trusted, and the obligations', async () => {
    const text = await textOnce(emergencyDossier);
    expect(text).toContain('Revoked 2025-12-02 02:22:11 (T+0:17:11)');
    expect(text).toContain('No longer trusted at the latest 2025-12-03 03:20:04 (T+25:15:04)');
    expect(text).toContain('Computed upper bound');
    expect(text).toContain('Approval in retrospect 2025-12-03 02:09:00 2025-12-02 09:15:00 by Bob Tanaka');
    expect(text).toContain('Post-incident review 2025-12-03 02:05:00 not recorded not yet due');
    expect(text).toContain('2025-11-28 16:40:00 UTC');
  });

  it('by cutover: one act is the new key, its use and the revocation', async () => {
    const dossier = emergencyDossier();
    const rotationEvents = dossier.rotationEvents.flatMap((event): readonly RotationEvent[] => {
      if (event.type === 'DualAcceptDeployed' || event.type === 'EmitterSwitched') return [];
      if (event.type !== 'OldKeyRevoked') return [event];
      const { versions, trustEndsAt } = event.data;
      const data = { to: 'v-new', versions, ...(trustEndsAt === undefined ? {} : { trustEndsAt }) };
      return [{ ...event, type: 'CutOver', data }];
    });
    const text = await textOf({ ...dossier, rotationEvents });
    expect(text).toContain('new key on all servers DualAcceptDeployed T+0:15 T+0:17:11');
    expect(text).toContain('Revoked 2025-12-02 02:22:11 (T+0:17:11)');
    expect(text).toContain('Cut over T+0:17:11');
  });

  it('gives no bound while one compromised version has none', async () => {
    const dossier = emergencyDossier();
    const rotationEvents = dossier.rotationEvents.map((event) =>
      event.type === 'EmergencyDeclared'
        ? {
            ...event,
            data: { ...event.data, compromisedVersions: [...event.data.compromisedVersions, 'another'] },
          }
        : event,
    );
    expect(await textOf({ ...dossier, rotationEvents })).toContain(
      'No longer trusted at the latest not recorded',
    );
  });
});

describe('an emergency that was refused afterwards', () => {
  it('is shown as refused, as an exception, and nowhere as approved', async () => {
    const dossier = emergencyDossier();
    const rotationEvents = dossier.rotationEvents.map((event): typeof event =>
      event.type === 'RotationApproved'
        ? {
            ...event,
            type: 'RotationRejected',
            data: { reason: 'It was a test key.', inRetrospect: true },
          }
        : event,
    );
    const text = await textOf({ ...dossier, rotationEvents });
    expect(text).toMatch(/Outcome Completed .* Approval refused in retrospect: an exception/u);
    expect(text).toContain('by Bob Tanaka; refused: It was a test key.');
    expect(text).toContain('Exception: not approved');
    expect(text).toContain('What the emergency did stands; nothing of it was undone.');
    expect(text).not.toMatch(/Approved in retrospect/iu);
  });
});

describe('a refusal that nobody could try', () => {
  it('is no test on the record', async () => {
    const dossier = gracefulDossier();
    const how = 'not probed: a value is refused by whoever reads it, not by the server';
    const rotationEvents = dossier.rotationEvents.map((event) =>
      event.type === 'OldKeyRejectionVerified'
        ? { ...event, data: { ...event.data, refused: event.data.refused.map((each) => ({ ...each, how })) } }
        : event,
    );
    const [tested, untested] = [
      await textOnce(() => dossier),
      await textOnce(() => ({ ...dossier, rotationEvents })),
    ];
    expect(tested).toContain('Refusal tested');
    expect(untested).not.toContain('Refusal tested');
    expect(untested).toContain('Not recorded: refusal tested.');
    expect(untested).toContain('Old version’s refusal could not be tested');
  });
});

describe('an imported history with gaps', () => {
  it('says "not recorded" and invents nothing', async () => {
    const text = await textOnce(stockEaseDossier);
    expect(text).toContain('Outcome End not recorded');
    expect(text).toContain('Requested by not recorded');
    expect(text).toContain('Policy not recorded');
    expect(text).toContain('Not recorded: the request, the plan, new emits, refusal tested.');
    expect(text).toContain('Accept not recorded not recorded not recorded 2025-11-13 11:00:00 not recorded');
    expect(text).toContain('Drain not recorded not recorded not recorded not recorded 2025-11-20 15:00:00');
    expect(text).toContain('current 2,847, previous 52, invalid 2');
    expect(text).toContain('automation@ stockease.com recorded by Alice Moreau imported');
    expect(text).toContain('not recorded recorded 2026-01-05 12:00:00 Note About 52 users');
  });
});

describe('pages', () => {
  it('mark example data on every page', async () => {
    const { pages } = readPdf(await renderRotationRecord(gracefulDossier({ illustrative: true })));
    expect(pages.length).toBeGreaterThan(2);
    for (const page of pages) expect(page).toContain('EXAMPLE DATA');
  });

  it('repeat the header of a long table and lose no row', async () => {
    const { pages } = readPdf(await drawnOnce(longDossier));
    const timeline = pages.filter((page) => /No\. ?Time \(UTC\) ?Fact ?Who ?Provenance/u.test(page));
    expect(timeline.length).toBeGreaterThan(10);
    const text = pages.join(' ');
    expect(text.match(/Verifier confirmed/gu)).toHaveLength(295);
    expect(text.match(/A long note about what was seen in the gateways\./gu)).toHaveLength(160);
    expect(text).toContain('service-40-with-a-rather-long- name.payments.internal');
  });

  it('draw other scripts, spell what no font has, and obey no direction mark', async () => {
    const text = await textOnce(foreignDossier);
    expect(text).toContain('Ключ подписи заказов');
    expect(text).toContain('Ελένη Παπαδοπούλου');
    expect(text).toContain('U+738B U+82B3');
    expect(text).toContain('U+202E esrever');
    expect(text).toContain('<b>Bold?</b> {{7*7}} %PDF-1.4 (endstream) </script>');
    expect(text).not.toContain('\u202E');
    // Right-to-left words are drawn from their end; each letter is there.
    for (const letter of 'דודכהן') expect(text).toContain(letter);
  });

  it('print nothing but what a fact may hold', async () => {
    const dossier = gracefulDossier();
    const canary = 'kt-canary-6f1d2c';
    const rotationEvents = dossier.rotationEvents.map((event) =>
      event.type === 'KeyGenerated'
        ? { ...event, data: { ...event.data, value: canary, privateKey: canary } }
        : event,
    );
    const pdf = await renderRotationRecord({ ...dossier, rotationEvents });
    expect(readPdf(pdf).pages.join(' ')).not.toContain(canary);
    expect(pdf.toString('latin1')).not.toContain(canary);
  });

  it('work without a single fact', async () => {
    const text = await textOf({
      ...gracefulDossier(),
      familyEvents: [],
      rotationEvents: [],
      containmentEvents: [],
      names: {},
    });
    expect(text).toContain('environment not recorded');
    expect(text).toContain('Versions: not recorded');
  });
});

it('a rolling rotation: how emission was to move, how it did, and what it did not reach', async () => {
  const HOUR = 3_600_000;
  const whole = gracefulDossier();
  const rotationEvents = whole.rotationEvents.flatMap((event): readonly RotationEvent[] => {
    if (event.type === 'RotationPlanned') {
      const cohorts = [
        { share: 25, hold: 'PT1H' },
        { share: 60, hold: 'PT2H' },
        { share: 100, hold: 'PT0S' },
      ];
      return [{ ...event, data: { ...event.data, strategy: 'rolling', cohorts } }];
    }
    if (event.type !== 'EmitterSwitched') return [event];
    return [25, 60].map((share, index) => ({
      ...event,
      recordedAt: event.recordedAt + index * 3 * HOUR,
      data: { ...event.data, share },
    }));
  });
  const text = await textOf({ ...whole, rotationEvents });
  expect(text.replaceAll('\u00a0', ' ')).toContain(
    '25 % 1 h 2025-11-11 10:24:13 3 h 60 % 2 h 2025-11-11 13:24:13 no later move 100 % the drain window not reached –',
  );
  expect(await textOnce(gracefulDossier)).not.toContain('Cohorts');
});

describe('what people attested', () => {
  const whole = gracefulDossier();
  const plain = (text: string): string => text.replaceAll('\u00a0', ' ');
  /** The revocation as people's, and what came of it. */
  const withAttested = (after: readonly RotationEvent[]): RotationDossier => ({
    ...whole,
    rotationEvents: [
      ...whole.rotationEvents.flatMap((event): readonly RotationEvent[] => {
        if (event.type !== 'OldKeyRevoked') return [event];
        const evidence = { link: 'https://change.example/CHG-7' };
        const attested = { ...event, provenance: 'attested' as const };
        return [{ ...attested, type: 'Attested', data: { step: 'revoke', evidence } }, attested];
      }),
      ...after,
    ],
  });
  const last = whole.rotationEvents.at(-1);
  const compared = (
    data: Extract<RotationEvent, { type: 'AttestationReconciled' }>['data'],
  ): RotationEvent => {
    if (last === undefined) throw new Error('it has no event');
    return { ...last, type: 'AttestationReconciled', recordedAt: last.recordedAt + 3_600_000, data };
  };
  const difference =
    'The back end does not show what was attested of revoke: it still accepts orders-2025-08.';

  it.each([
    ['not compared yet', [], 'Attested revoke Not yet compared with the back end.'],
    [
      'shown',
      [compared({ steps: ['revoke'], agrees: true, differences: [], notCompared: ['verify'] })],
      'the back end shows revoke; not compared: verify.',
    ],
    [
      'contradicted',
      [compared({ steps: ['revoke'], agrees: false, differences: [difference] })],
      `THE BACK END CONTRADICTS IT. ${difference}`,
    ],
  ] as const)('%s: the first page says so', async (name, after, said) => {
    const { pages } = readPdf(await renderRotationRecord(withAttested(after)));
    expect(plain(pages[0] ?? '')).toContain(said);
    // The axis shows the same instant, and does not show it as a fact.
    expect(plain(pages.join(' ')).includes('Old revoked:')).toBe(name === 'contradicted');
  });

  it('a cohort that was only attested, and was not so, did not move', async () => {
    const HOUR = 3_600_000;
    const rotationEvents = whole.rotationEvents.flatMap((event): readonly RotationEvent[] => {
      if (event.type === 'RotationPlanned') {
        const cohorts = [25, 60].map((share) => ({ share, hold: 'PT1H' }));
        return [{ ...event, data: { ...event.data, strategy: 'rolling', cohorts } }];
      }
      if (event.type !== 'EmitterSwitched') return [event];
      const moved = (share: number, hours: number): typeof event => ({
        ...event,
        recordedAt: event.recordedAt + hours * HOUR,
        data: { ...event.data, share },
      });
      const wrong = compared({ steps: ['emit'], agrees: false, differences: ['It does not show it.'] });
      return [moved(25, 0), { ...moved(60, 1), provenance: 'attested' }, wrong, moved(60, 10)];
    });
    const text = plain(await textOf({ ...whole, rotationEvents }));
    expect(text).toContain('25 % 1 h 2025-11-11 10:24:13 10 h 60 % the drain window 2025-11-11 20:24:13');
  });
});
