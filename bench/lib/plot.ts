// The plot: a chart a question, drawn by vega-lite.
import * as vega from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import type { Point } from './outcome.ts'
import { ALL, BARE } from './servers.ts'

/** One chart of several. */
type Chart = Extract<TopLevelSpec, { concat: unknown }>['concat'][number]

/** A point as vega-lite takes it. */
interface Value {
  server: string
  x: string | number
  y: number
  low: number
  high: number
}

const NAMES = ALL.map(({ name }) => name)

/** This package stands out, the limit is a neutral black, and the others keep apart from each other. */
const COLOURS = ['#d62728', '#222222', '#1f77b4', '#17becf', '#9467bd', '#2ca02c']

const SCALE = { domain: NAMES, range: COLOURS }

const WIDTH = 340

/** An SVG of the points. */
export async function plot(points: readonly Point[]): Promise<string> {
  const view = new vega.View(vega.parse(compile(specification(points)).spec), { renderer: 'none' })
  const svg = await view.toSVG()
  view.finalize()
  return svg
}

function specification(points: readonly Point[]): TopLevelSpec {
  const cpu = pointsOf(points, 'server CPU a message')
  const at = (size: number): Value[] => cpu.filter(({ x }) => x === size)
  const closed = pointsOf(points, 'closed loop, 1 connection')
  return {
    background: 'white',
    padding: 12,
    columns: 2,
    spacing: 30,
    config: { font: 'sans-serif', axis: { gridColor: '#eeeeee' }, view: { stroke: null }, title: { anchor: 'start' } },
    concat: [
      bars('Server CPU a message, 64 B, 50 connections', 'microseconds', at(64)),
      bars('Server CPU a message of 1 MiB', 'microseconds', at(1_048_576)),
      bars(
        'Median round trip, 1 connection, 64 B',
        'microseconds',
        closed.filter(({ x }) => x === 'p50'),
      ),
      bars('Heap an idle connection', 'bytes, logarithmic from 10', pointsOf(points, 'heap'), true),
      lines('Server CPU against the bare loop, by message size', relative(cpu)),
      percentiles('Time to the answer at a fixed rate, 50 connections, 64 B', pointsOf(points, 'open loop')),
    ],
  }
}

/** A bar a server, with the range of the rounds. */
function bars(title: string, unit: string, values: Value[], logarithmic = false): Chart {
  const y = { field: 'server', type: 'nominal', sort: NAMES, title: null } as const
  const scale = logarithmic ? ({ type: 'log', domainMin: 10, clamp: true } as const) : { zero: true }
  return {
    title,
    width: WIDTH,
    data: { values },
    layer: [
      {
        mark: 'bar',
        encoding: {
          y: { ...y },
          x: { field: 'y', type: 'quantitative', title: unit, scale },
          ...(logarithmic && { x2: { datum: 10 } }),
          color: { field: 'server', type: 'nominal', scale: SCALE, legend: null },
        },
      },
      {
        mark: { type: 'rule', color: '#888888' },
        encoding: { y: { ...y }, x: { field: 'low', type: 'quantitative' }, x2: { field: 'high' } },
      },
    ],
  }
}

function lines(title: string, values: Value[]): Chart {
  const label =
    "datum.value < 1024 ? datum.value + ' B' : datum.value < 1048576 ? datum.value / 1024 + ' KiB' : datum.value / 1048576 + ' MiB'"
  const axis = { labelExpr: label, values: [...new Set(values.map(({ x }) => Number(x)))], labelOverlap: false }
  return {
    title,
    width: WIDTH,
    height: 200,
    data: { values },
    mark: { type: 'line', point: true },
    encoding: {
      x: { field: 'x', type: 'quantitative', scale: { type: 'log', base: 4 }, title: 'bytes a message', axis },
      y: { field: 'y', type: 'quantitative', scale: { type: 'log', base: 2 }, title: 'times the bare loop' },
      color: { field: 'server', type: 'nominal', title: null, scale: SCALE },
    },
  }
}

function percentiles(title: string, values: Value[]): Chart {
  return {
    title,
    width: WIDTH,
    height: 200,
    data: { values },
    mark: { type: 'point', filled: true, size: 70 },
    encoding: {
      y: { field: 'x', type: 'nominal', sort: null, title: null },
      yOffset: { field: 'server', type: 'nominal', sort: NAMES },
      x: { field: 'y', type: 'quantitative', scale: { type: 'log' }, title: 'microseconds, logarithmic' },
      color: { field: 'server', type: 'nominal', title: null, scale: SCALE },
    },
  }
}

function pointsOf(points: readonly Point[], chart: string): Value[] {
  return points
    .filter((point) => point.chart.startsWith(chart))
    .map(({ server, x, y }) => ({ server, x, y: y.median, low: y.min, high: y.max }))
}

/** Each server's values in terms of the bare loop's. */
function relative(values: readonly Value[]): Value[] {
  const bare = new Map(values.filter(({ server }) => server === BARE.name).map(({ x, y }) => [x, y]))
  return values.flatMap(({ server, x, y, low, high }) => {
    const unit = bare.get(x)
    return unit === undefined ? [] : [{ server, x, y: y / unit, low: low / unit, high: high / unit }]
  })
}
