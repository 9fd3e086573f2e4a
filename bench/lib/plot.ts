// The plot: a chart a question, drawn by vega-lite.
import * as vega from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import type { Point } from './outcome.ts'
import { ALL } from './servers.ts'

/** One chart of several. */
type Chart = Extract<TopLevelSpec, { vconcat: unknown }>['vconcat'][number]

const NAMES = ALL.map(({ name }) => name)

/** This package stands out, the limit is a neutral black, and the others keep apart from each other. */
const COLOURS = ['#d62728', '#222222', '#1f77b4', '#17becf', '#9467bd', '#2ca02c']

const SIZE = { width: 330, height: 240 }

/** An SVG of the points. */
export async function plot(points: readonly Point[]): Promise<string> {
  const view = new vega.View(vega.parse(compile(specification(points)).spec), { renderer: 'none' })
  const svg = await view.toSVG()
  view.finalize()
  return svg
}

function specification(points: readonly Point[]): TopLevelSpec {
  const sizes = [
    bySize(points, 'server CPU a message', 'microseconds'),
    bySize(points, 'throughput, client and server on a core each', 'MiB/s'),
  ]
  const percentiles = [byPercentile(points, 'closed loop, 1 connection'), byPercentile(points, 'open loop')]
  return {
    background: 'white',
    padding: 12,
    config: { font: 'sans-serif', axis: { gridColor: '#eeeeee' }, view: { stroke: null } },
    vconcat: [{ hconcat: sizes }, { hconcat: percentiles }],
  }
}

function bySize(points: readonly Point[], chart: string, unit: string): Chart {
  return {
    ...SIZE,
    title: chart,
    data: { values: valuesOf(points, chart) },
    mark: { type: 'line', point: true },
    encoding: {
      x: {
        field: 'x',
        type: 'quantitative',
        scale: { type: 'log', base: 2 },
        title: 'bytes a message',
        axis: { labelExpr: "datum.value < 1024 ? datum.value + ' B' : format(datum.value / 1024, 'd') + ' KiB'" },
      },
      y: { field: 'y', type: 'quantitative', scale: { type: 'log' }, title: unit },
      color: { field: 'server', type: 'nominal', title: null, scale: { domain: NAMES, range: COLOURS } },
    },
  }
}

function byPercentile(points: readonly Point[], prefix: string): Chart {
  const title = points.find(({ chart }) => chart.startsWith(prefix))?.chart ?? prefix
  return {
    ...SIZE,
    title: `time to the answer, 64 B, ${title}`,
    data: { values: valuesOf(points, title) },
    mark: 'bar',
    encoding: {
      x: { field: 'x', type: 'nominal', sort: null, title: null, axis: { labelAngle: 0 } },
      xOffset: { field: 'server', type: 'nominal', sort: NAMES },
      y: { field: 'y', type: 'quantitative', title: 'microseconds' },
      color: { field: 'server', type: 'nominal', title: null, scale: { domain: NAMES, range: COLOURS } },
    },
  }
}

function valuesOf(points: readonly Point[], chart: string): { server: string; x: string | number; y: number }[] {
  return points.filter((point) => point.chart === chart).map(({ server, x, y }) => ({ server, x, y: y.median }))
}
