// The description of the HTTP API (OpenAPI 3.1), made from the same schemas that read its input.
import { z } from 'zod';
import type { AnyCommand, AnySlice } from '../engine/slice.ts';
import { faultCodes } from '../engine/faults.ts';
import { candidateInput, commandInput, commitInput, rollbackInput } from './routes.ts';

type Json = Readonly<Record<string, unknown>>;

/** The whole description. `version` is the product's. */
export function describeApi(version: string, slices: readonly AnySlice[], commands: readonly AnyCommand[]): Json {
  const shows = commands.filter((command) => command.path.startsWith('show '));
  return {
    openapi: '3.1.0',
    info: { title: 'midplane', version, description: 'Configuration, state and commands of this switch.' },
    security: [{ token: [] }],
    paths: { ...fixedPaths(), ...Object.assign({}, ...shows.map(showPath)) },
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: { Document: documentSchema(slices), Problem: problem, Fault: fault, Errors: errors },
    },
  };
}

/** JSON Schema of the document, as editors take it too. */
export function documentSchema(slices: readonly AnySlice[]): Json {
  const sections = slices.flatMap((slice) => (slice.schema ? [[slice.name, jsonSchema(slice.schema, 'input')]] : []));
  return { type: 'object', properties: Object.fromEntries(sections), additionalProperties: false };
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  const made = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    // Bigints leave as numbers, or as text where they would not be exact.
    override: ({ zodSchema, jsonSchema: part }) => {
      if (zodSchema._zod.def.type === 'bigint') Object.assign(part, { type: ['integer', 'string'] });
    },
  });
  delete made.$schema;
  return made;
}

const problem: Json = {
  type: 'object',
  required: ['file', 'line', 'column', 'path', 'message'],
  properties: {
    file: { type: 'string' },
    line: { type: 'integer' },
    column: { type: 'integer' },
    path: { type: 'string' },
    message: { type: 'string' },
    hint: { type: 'string' },
  },
};

const fault: Json = {
  type: 'object',
  required: ['code', 'what', 'why', 'retry'],
  properties: {
    code: { type: 'string', enum: Object.keys(faultCodes) },
    what: { type: 'string' },
    why: { type: 'string' },
    retry: { type: 'boolean' },
  },
};

const errors: Json = {
  type: 'object',
  required: ['problems', 'faults'],
  properties: {
    problems: { type: 'array', items: { $ref: '#/components/schemas/Problem' } },
    faults: { type: 'array', items: { $ref: '#/components/schemas/Fault' } },
  },
};

const failed: Json = { description: 'what is wrong', content: json({ $ref: '#/components/schemas/Errors' }) };
const revision: Json = {
  type: 'object',
  required: ['number', 'when', 'by', 'comment'],
  properties: {
    number: { type: 'integer' },
    when: { type: 'integer', description: 'milliseconds since 1970' },
    by: { type: 'string' },
    comment: { type: 'string' },
    confirmBy: { type: 'integer', description: 'goes back by itself then, unless confirmed' },
    document: { type: 'string' },
  },
};

function json(schema: Json): Json {
  return { 'application/json': { schema } };
}

function get(summary: string, schema: Json, more: Json = {}): Json {
  return {
    get: { summary, responses: { 200: { description: 'done', content: json(schema) }, default: failed }, ...more },
  };
}

function post(summary: string, input: z.ZodType | undefined, output: Json, yaml = false): Json {
  const schema = input && jsonSchema(input, 'input');
  const content = schema && {
    ...json(schema),
    ...(yaml ? { 'application/yaml': { schema: { type: 'string' } } } : {}),
  };
  return {
    post: {
      summary,
      ...(content ? { requestBody: { required: true, content } } : {}),
      responses: { 200: { description: 'done', content: json(output) }, default: failed },
    },
  };
}

function fixedPaths(): Json {
  const any: Json = { type: 'object' };
  const number = { name: 'number', in: 'path', required: true, schema: { type: 'integer' } };
  return {
    '/v1/health': get('whether the daemon answers, and the running revision', any, { security: [] }),
    '/v1/check': post('problems of a candidate', candidateInput, any, true),
    '/v1/plan': post('what a commit would do', candidateInput, any, true),
    '/v1/commit': post('make a candidate the running configuration', commitInput, any, true),
    '/v1/confirm': post('make the unconfirmed commit permanent', undefined, revision),
    '/v1/rollback': post('commit an old revision again', rollbackInput, any),
    '/v1/history': get('the revisions, newest first', {
      type: 'object',
      properties: { revisions: { type: 'array', items: revision } },
    }),
    '/v1/revisions/{number}': get('one revision', revision, { parameters: [number] }),
    '/v1/configuration': get('the running document', any),
    '/v1/command': post('run a CLI command line', commandInput, any),
    '/metrics': {
      get: { summary: 'metrics for Prometheus', responses: { 200: { description: 'text format 0.0.4' } } },
    },
  };
}

/** A show command; its arguments are query parameters. */
function showPath(command: AnyCommand): Json {
  const { properties = {}, required = [] } = jsonSchema(command.args, 'input') as {
    properties?: Record<string, Json>;
    required?: readonly string[];
  };
  const parameters = Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    schema,
    ...(schema['description'] === undefined ? {} : { description: schema['description'] }),
  }));
  return {
    [`/v1/${command.path.replaceAll(' ', '/')}`]: get(command.help, jsonSchema(command.data, 'output'), { parameters }),
  };
}
