import type { SecretValue } from '#platform';

/** What an application logs in with. The password MUST NOT be printed, kept, or put into a connection string. */
export interface Credential {
  readonly username: string;
  readonly password: SecretValue;
}

/**
 * What a login shows of a password. `accepted`: the database asked for it and let the login in · `refused`: it asked for it and
 * refused it · `unproved`: neither, such as where a login is let in without being asked.
 */
export type LoginVerdict =
  | { readonly kind: 'accepted' | 'refused' }
  | {
      readonly kind: 'unproved';
      /** A short sentence for a person; nothing that the database said. */
      readonly why: string;
    };

/**
 * Logs in to one kind of database as an application does, and out again.
 * MUST end within a limit of time of its own; MUST reject with a `BackendError` of class `transient` where the database cannot be asked;
 * MUST let nothing out of the password or of what the database said, in an error, a log or a cause.
 */
export interface CredentialProbe {
  logIn(credential: Credential): Promise<LoginVerdict>;
}
