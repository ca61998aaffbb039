// Makes the TypeScript in this folder from Envoy's own descriptors:
//   node src/mesh/xds/gen/generate.ts [FULL.binpb]
// With FULL (a FileDescriptorSet of Envoy's whole v3 API) envoy.binpb is cut from it first: the files that the roots
// reach, without the custom options (validation and annotations), which nothing here reads.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { create, fromBinary, toBinary, type Message } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema, type FileDescriptorProto } from '@bufbuild/protobuf/wkt';

const here = import.meta.dirname;
const image = join(here, 'envoy.binpb');

/** What src/mesh/xds imports. */
const roots = [
  'envoy/config/listener/v3/listener.proto',
  'envoy/config/route/v3/route.proto',
  'envoy/config/cluster/v3/cluster.proto',
  'envoy/config/endpoint/v3/endpoint.proto',
  'envoy/extensions/filters/http/router/v3/router.proto',
  'envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.proto',
  'envoy/extensions/filters/network/connection_limit/v3/connection_limit.proto',
  'envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto',
  'envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto',
  'envoy/extensions/upstreams/http/v3/http_protocol_options.proto',
  'envoy/service/discovery/v3/discovery.proto',
];

const optionFiles = /^(validate|udpa\/annotations|envoy\/annotations|xds\/annotations|google\/api)\//;

function reach(files: readonly FileDescriptorProto[]): FileDescriptorProto[] {
  const byName = new Map(files.map((f) => [f.name, f]));
  const seen = new Set<string>();
  const visit = (name: string): void => {
    if (seen.has(name) || optionFiles.test(name)) return;
    seen.add(name);
    const file = byName.get(name);
    if (file === undefined) throw new Error(`${name} is not in the set`);
    for (const next of file.dependency) visit(next);
  };
  for (const root of roots) visit(root);
  return files.filter((f) => seen.has(f.name));
}

/** Options keep their standard fields; the custom ones are unknown fields here, so dropping those drops them. */
function plain(value: unknown): void {
  if (Array.isArray(value)) for (const each of value) plain(each);
  else if (typeof value === 'object' && value !== null) {
    if ('$typeName' in value) delete (value as Message).$unknown;
    for (const each of Object.values(value)) plain(each);
  }
}

function cut(from: string): void {
  const full = fromBinary(FileDescriptorSetSchema, readFileSync(from));
  const file = reach(full.file);
  for (const f of file) {
    const kept = f.dependency.filter((name) => !optionFiles.test(name));
    const index = (i: number): number => kept.indexOf(f.dependency[i] ?? '');
    f.publicDependency = f.publicDependency.map(index).filter((i) => i >= 0);
    f.weakDependency = [];
    f.dependency = kept;
    delete f.sourceCodeInfo;
    plain(f);
  }
  writeFileSync(image, toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file })));
}

function generate(): void {
  const work = mkdtempSync(join(tmpdir(), 'midplane-gen-'));
  try {
    const run = (file: string, ...args: string[]): unknown => execFileSync(file, args, { cwd: work, stdio: 'inherit' });
    writeFileSync(join(work, 'package.json'), '{"private":true}');
    run('npm', 'i', '@bufbuild/buf@1.75.0', '@bufbuild/protoc-gen-es@2.17.0', '@bufbuild/protobuf@2.17.0');
    const opt = ['target=ts', 'import_extension=ts', 'erasable_syntax=true'];
    const plugin = { local: 'node_modules/.bin/protoc-gen-es', out: 'out', opt, include_imports: true };
    writeFileSync(join(work, 'buf.gen.yaml'), JSON.stringify({ version: 'v2', plugins: [plugin] }));
    run(join(work, 'node_modules/.bin/buf'), 'generate', image);
    // protobuf-es has the well-known types itself.
    rmSync(join(work, 'out/google/protobuf'), { recursive: true });
    for (const top of ['envoy', 'xds', 'google']) {
      rmSync(join(here, top), { recursive: true, force: true });
      cpSync(join(work, 'out', top), join(here, top), { recursive: true });
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const full = process.argv[2];
if (full !== undefined) cut(full);
process.env['PATH'] = `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`;
generate();
