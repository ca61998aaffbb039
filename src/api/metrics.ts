// Prometheus' text format, version 0.0.4, from what the parts of the process count.

export interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number | bigint;
  /** "_bucket", "_sum", "_count" of a histogram or summary. */
  readonly suffix?: '_bucket' | '_sum' | '_count';
}

/** One metric with all of its samples. Names follow Prometheus' rules: midplane_port_bytes_total. */
export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary';
  readonly samples: readonly Sample[];
}

/** What a part of the process has to tell when it is asked. */
export type Collector = () => readonly Metric[] | Promise<readonly Metric[]>;

export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8';

/** All metrics as text, by name. Throws for a name that Prometheus would refuse, and for a metric given twice. */
export async function renderMetrics(collectors: readonly Collector[]): Promise<string> {
  const metrics = (await Promise.all(collectors.map(async (collect) => collect()))).flat();
  metrics.sort((a, b) => (a.name < b.name ? -1 : 1));
  metrics.forEach((metric, i) => {
    if (metric.name === metrics[i - 1]?.name) throw new Error(`metric ${metric.name} is given twice`);
  });
  return metrics.map(renderMetric).join('');
}

function renderMetric({ name, help, type, samples }: Metric): string {
  if (!/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(name)) throw new Error(`"${name}" is no name for a metric`);
  const lines = samples.map(
    ({ labels, value, suffix = '' }) => `${name}${suffix}${renderLabels(labels)} ${number(value)}\n`,
  );
  return `# HELP ${name} ${help.replace(/[\\\n]/g, escape)}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

function renderLabels(labels: Sample['labels']): string {
  const pairs = Object.entries(labels ?? {}).map(([label, value]) => {
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(label)) throw new Error(`"${label}" is no name for a label`);
    return `${label}="${value.replace(/[\\\n"]/g, escape)}"`;
  });
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escape(char: string): string {
  return char === '\n' ? '\\n' : `\\${char}`;
}

function number(value: number | bigint): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value);
}
