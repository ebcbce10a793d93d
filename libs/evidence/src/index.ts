export { type RotationDossier } from './dossier.js';
export { renderEmergencyCard } from './pdf/render-emergency-card.js';
export { renderRotationRecord } from './pdf/render-rotation-record.js';
export { renderRunbook } from './pdf/render-runbook.js';
export { PAPERS, type Paper } from './pdf/sheet.js';
export type { BackEndKind, RunbookDue, RunbookInput } from './runbook-page.js';
