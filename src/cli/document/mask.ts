// A document for eyes that may not see its secrets: the same text with "********" in their place.
import { isMap, isScalar, isSeq, parseDocument, visit, type Document } from 'yaml';
import { walk } from './path.ts';
import type { Place } from './place.ts';

const hidden = '********';

/** The text with every value whose schema says `.meta({ secret: true })` replaced; what is no YAML is hidden whole. */
export function maskSecrets(text: string, root: Place): string {
  const document = parseDocument(text, { uniqueKeys: false, prettyErrors: false });
  if (document.errors.length > 0) return `# hidden: ${hidden}\n`;
  if (!maskNode(document, document.contents, root)) return text;
  return document.toString({ lineWidth: 0 });
}

/** Hides what is secret below a node; true if something was. */
function maskNode(document: Document, node: unknown, place: Place): boolean {
  if (place.secret) return hideScalars(document, node);
  let changed = false;
  if (isMap(node)) {
    for (const pair of node.items) {
      const key = isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
      const found = walk(place, [{ text: key, literal: false, start: 0 }]);
      if (found.ok && found.path.length === 1) changed = maskNode(document, pair.value, found.place) || changed;
    }
  } else if (isSeq(node) && place.item) {
    for (const item of node.items) changed = maskNode(document, item, place.item) || changed;
  }
  return changed;
}

/** Hides every scalar at and below a node, and what its aliases lead to, though that may stand elsewhere in sight. */
function hideScalars(document: Document, node: unknown): boolean {
  let changed = false;
  const hide = (found: unknown): void => {
    if (!isScalar(found)) return;
    found.value = hidden;
    changed = true;
  };
  visit(node as Parameters<typeof visit>[0], {
    Scalar: (key, scalar) => {
      if (key !== 'key') hide(scalar);
    },
    Alias: (_key, alias) => {
      const target = alias.resolve(document);
      if (target) hideScalars(document, target);
      changed = true;
    },
  });
  return changed;
}
