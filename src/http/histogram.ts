// A histogram that takes a few comparisons to observe. It shows what prom-client's own would, which makes texts of labels and bounds each time.
import type { Metric, Registry } from "prom-client";

/** What was observed under one set of labels. */
interface Series {
  readonly labels: Readonly<Record<string, string | number>>;
  /** By bucket; what is above all bounds is in the count alone. */
  readonly buckets: number[];
  sum: number;
  count: number;
}

export interface HistogramOptions {
  readonly name: string;
  readonly help: string;
  /** Upper bounds, rising. */
  readonly buckets: readonly number[];
  readonly labelNames?: readonly string[];
}

export class Histogram {
  readonly name: string;
  readonly help: string;
  readonly type = "histogram";
  /** How figures of several threads become one. */
  readonly aggregator = "sum";
  readonly #bounds: readonly number[];
  readonly #labelNames: readonly string[];
  /** By its labels' values. */
  readonly #series = new Map<string, Series>();

  constructor({ name, help, buckets, labelNames = [] }: HistogramOptions, registry: Registry) {
    this.name = name;
    this.help = help;
    this.#bounds = buckets;
    this.#labelNames = labelNames;
    if (labelNames.length === 0) this.#begin("", []);
    registry.registerMetric(this as unknown as Metric);
  }

  /** @param labels values, in the order of their names; none of them has a line's end. */
  observe(value: number, ...labels: readonly (string | number)[]): void {
    const key = labels.join("\n");
    const series = this.#series.get(key) ?? this.#begin(key, labels);
    series.sum += value;
    series.count++;
    for (let at = 0; at < this.#bounds.length; at++) {
      if (value > this.#bounds[at]!) continue;
      series.buckets[at]!++;
      return;
    }
  }

  /** As prom-client asks its own metrics at a scrape. */
  async get(): Promise<object> {
    const { name, help, type, aggregator } = this;
    return { name, help, type, aggregator, values: [...this.#series.values()].flatMap((each) => this.#shown(each)) };
  }

  #begin(key: string, values: readonly (string | number)[]): Series {
    const labels = Object.fromEntries(this.#labelNames.map((name, i) => [name, values[i]!]));
    const series = { labels, buckets: this.#bounds.map(() => 0), sum: 0, count: 0 };
    this.#series.set(key, series);
    return series;
  }

  #shown({ labels, buckets, sum, count }: Series): object[] {
    let below = 0;
    return [
      ...this.#bounds.map((le, i) => this.#line("_bucket", (below += buckets[i]!), { le, ...labels })),
      this.#line("_bucket", count, { le: "+Inf", ...labels }),
      this.#line("_sum", sum, labels),
      this.#line("_count", count, labels),
    ];
  }

  #line(part: string, value: number, labels: Series["labels"]): object {
    return { metricName: this.name + part, value, labels };
  }
}
