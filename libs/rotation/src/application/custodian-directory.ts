/** Which families have somebody as a custodian: a list from the read model; each is then read from its stream. The class is the token. */
export abstract class CustodianDirectory {
  abstract familiesOf(subject: string): Promise<readonly string[]>;
}
