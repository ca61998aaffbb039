// What a revision is: the text of the switch, who made it and when.

export interface RevisionInfo {
  readonly number: number;
  /** Milliseconds since 1970. */
  readonly when: number;
  /** "admin@ssh:10.0.0.5", "file", "rollback 12 by admin". */
  readonly by: string;
  readonly comment: string;
  /** When an unconfirmed commit goes back by itself, milliseconds since 1970. */
  readonly confirmBy?: number;
}

export interface Revision extends RevisionInfo {
  readonly document: string;
  readonly manifests: Readonly<Record<string, string>>;
}

/** FILE and the manifests folder, as they stand on disk. */
export interface FaceText {
  readonly document: Uint8Array;
  readonly manifests: Readonly<Record<string, Uint8Array>>;
}

export interface StoredRevision extends Revision {
  /** Files that the document names, by the name that it uses. */
  readonly files: Readonly<Record<string, Uint8Array>>;
}
