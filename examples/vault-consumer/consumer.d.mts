export interface Vault {
  readonly address: string;
  readonly token: string;
}
export interface Used {
  readonly versionId: string;
  readonly engine: string;
}
export interface Secret {
  readonly emit: string;
  readonly accepted: ReadonlyMap<string, string>;
}
export function usedVersion(vault: Vault, object: string, documents?: string): Promise<Used>;
export function signToken(vault: Vault, object: string, used: Used, claims: object): Promise<string>;
export function tokenVerifier(jwksUrl: string, cacheMs: number): (token: string) => Promise<object>;
export function readSecret(vault: Vault, object: string): Promise<Secret>;
export function makeMac(secret: Secret, text: string): string;
export function acceptsMac(secret: Secret, text: string, mac: string): boolean;
export function readLogin(
  vault: Vault,
  object: string,
): Promise<{ readonly username: string; readonly password: string }>;
