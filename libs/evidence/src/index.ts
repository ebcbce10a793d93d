export { type RotationDossier } from './dossier.js';
export { renderRotationRecord } from './pdf/render-rotation-record.js';
