import {
  ALGORITHMS,
  BackendError,
  EFFECTS,
  type BackendDeclaration,
  type KeyBackend,
} from '../key-backend.js';

/**
 * Where people or a pipeline perform every step, and attest it with its evidence. Nothing is called here: the saga waits for the
 * attestation instead. Whatever calls it all the same is told so, and has changed nothing.
 */
export function openAttestedKeyBackend(instance: string): KeyBackend {
  const declaration: BackendDeclaration = {
    instance,
    kind: 'attested',
    // No request of ours is ever on its way.
    effects: Object.fromEntries(
      EFFECTS.map((effect) => [effect, { class: 'absolute', longestRequestMs: 0 }]),
    ) as BackendDeclaration['effects'],
    algorithms: ALGORITHMS,
    requestsOutliveProcess: false,
    // What people did, people can undo, until the material is gone.
    pointOfNoReturn: 'destroy',
    capabilities: {
      overlap: true,
      cohorts: true,
      performs: false,
      readsValues: false,
      publishesJwks: false,
    },
  };
  const refuse = async (): Promise<never> => {
    throw new BackendError('config', 'people perform this step: it waits for their attestation');
  };
  return {
    declaration,
    generate: refuse,
    publish: refuse,
    switchEmission: refuse,
    withdraw: refuse,
    reAccept: refuse,
    cutOver: refuse,
    contain: refuse,
    lift: refuse,
    destroy: refuse,
    // Nobody can be asked what is so: the record is all there is.
    observe: async (object) => ({ object, exists: false, versions: [] }),
    probe: refuse,
  };
}
