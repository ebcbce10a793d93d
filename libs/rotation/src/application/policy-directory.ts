/** Which policies there are: a list from the read model; each is then read from its stream. The class is the token. */
export abstract class PolicyDirectory {
  abstract policyIds(): Promise<readonly string[]>;
}
