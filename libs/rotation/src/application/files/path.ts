/** Where a value stands inside a declaration or an entry. */
export type Path = readonly (string | number)[];
