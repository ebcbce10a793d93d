import type { RotationDossier } from '../dossier.js';
import { composeEmergencyRecord } from './emergency-record.js';
import { recordFacts, type RecordFacts } from './record-facts.js';
import { composeRotationRecord } from './rotation-record.js';
import { Sheet } from './sheet.js';
import { instantText } from './wording.js';

/**
 * The record of one rotation as a PDF: the emergency record where an emergency was asked for, else the rotation record.
 * The same dossier gives the same bytes. It makes no claim of a PDF profile; docs say what was validated.
 */
export async function renderRotationRecord(dossier: RotationDossier): Promise<Buffer> {
  const facts = recordFacts(dossier);
  const emergency = isEmergency(facts);
  const kind = emergency ? 'Emergency rotation record' : 'Rotation record';
  const title = `${kind}: ${facts.environment} / ${facts.name}`;
  const sheet = await Sheet.open({
    title,
    subject: `Rotation ${dossier.rotationId}, log ${dossier.logId}, tree size ${dossier.treeSize}`,
    asOf: dossier.asOf,
    runningTitle: title,
    footer: `Log ${dossier.logId.slice(0, 8)} · tree size ${dossier.treeSize} · as of ${instantText(dossier.asOf)} UTC`,
    example: facts.example,
  });
  if (emergency) composeEmergencyRecord(sheet, facts);
  else composeRotationRecord(sheet, facts);
  return sheet.finish();
}

function isEmergency({ request, declared }: RecordFacts): boolean {
  return request === undefined ? declared !== undefined : request.data.strategy === 'emergency';
}
