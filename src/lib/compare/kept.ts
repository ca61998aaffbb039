/** What `make` made of a text, made once as long as it is kept: of so many texts at most, then all begin anew, since
 * who says them may be a stranger. */
export function kept<T>(most: number, make: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found;
    if (known.size >= most) known.clear();
    const made = make(text);
    known.set(text, made);
    return made;
  };
}
