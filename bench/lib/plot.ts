// The plot: a chart per question, drawn by vega-lite.

import * as vega from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'

import type { Point } from './outcome.ts'
import { ALL, BARE } from './servers.ts'

/** The message sizes by which servers are compared. */
export const SIZES = [64, 1024, 16_384, 262_144, 1_048_576, 4_194_304, 16_777_216]

/** One chart of several. */
type Chart = Extract<TopLevelSpec, { concat: unknown }>['concat'][number]

const NAMES = ALL.map(({ name }) => name)

/** This package stands out, the limit is a neutral black, and the others keep apart from each other. */
const COLOURS = ['#d62728', '#222222', '#1f77b4', '#17becf', '#9467bd', '#2ca02c']

const COLOUR = { field: 'server', type: 'nominal', legend: null, scale: { domain: NAMES, range: COLOURS } } as const

/** The same, where no axis names the servers. */
const NAMED_COLOUR = { ...COLOUR, legend: { title: null, symbolType: 'circle' } } as const

/** An SVG of the points. */
export async function plot(points: readonly Point[]): Promise<string> {
  const view = new vega.View(vega.parse(compile(specification(points)).spec), { renderer: 'none' })
  const svg = await view.toSVG()
  view.finalize()
  return svg
}

function specification(points: readonly Point[]): TopLevelSpec {
  const values = points.map(({ chart, server, x, y }) => ({ chart, server, x, ...y }))
  return {
    background: 'white',
    padding: 12,
    columns: 2,
    spacing: 30,
    config: {
      font: 'sans-serif',
      axis: { gridColor: '#eeeeee' },
      view: { stroke: null, continuousWidth: 340, continuousHeight: 200, discreteHeight: { step: 20 } },
      title: { anchor: 'start' },
    },
    // Each panel has the legend that it needs.
    resolve: { legend: { color: 'independent' } },
    // Some values of x are numbers and some are names: nothing may be guessed of it.
    data: { values, format: { parse: null } },
    concat: [
      bars('Server CPU per message, 64 B, 50 connections', 'server CPU per message', 64),
      bars('Server CPU per message of 1 MiB', 'server CPU per message', 1_048_576),
      {
        ...bars('', 'closed loop', 'p50'),
        title: {
          text: 'Median round trip, 1 connection, 64 B',
          subtitle: 'echo-node polls before it sleeps (busyPoll), the others sleep at once',
        },
      },
      bars('Heap per idle connection', 'heap'),
      relativeLines('Server CPU against the bare loop, by message size', 'server CPU per message'),
      percentiles('Time to the answer at a fixed rate, 50 connections, 64 B', 'open loop'),
    ],
  }
}

/** The points of the chart with this name, which may be cut short. */
function ofChart(chart: string): { filter: string } {
  return { filter: `indexof(datum.chart, '${chart}') === 0` }
}

/** A bar per server, with the range of the rounds: of microseconds at this x, or of bytes on a logarithmic axis. */
function bars(title: string, chart: string, x?: string | number): Chart {
  const y = { field: 'server', type: 'nominal', sort: NAMES, title: null } as const
  const axis =
    x === undefined
      ? ({ title: 'bytes, logarithmic from 10', scale: { type: 'log', domainMin: 10, clamp: true } } as const)
      : { title: 'microseconds' }
  const bar = { field: 'median', type: 'quantitative', ...axis } as const
  return {
    title,
    transform: [ofChart(chart), { filter: x === undefined ? 'true' : `datum.x === ${JSON.stringify(x)}` }],
    layer: [
      { mark: 'bar', encoding: { y, x: bar, color: COLOUR, ...(x === undefined && { x2: { datum: 10 } }) } },
      {
        mark: { type: 'rule', color: '#888888' },
        encoding: { y, x: { field: 'min', type: 'quantitative' }, x2: { field: 'max' } },
      },
    ],
  }
}

/** Each server's values in terms of the bare loop's. */
function relativeLines(title: string, chart: string): Chart {
  const label =
    "datum.value < 1024 ? datum.value + ' B' : datum.value < 1048576 ? datum.value / 1024 + ' KiB' : datum.value / 1048576 + ' MiB'"
  const axis = { labelExpr: label, values: SIZES, labelOverlap: false, labelAngle: -40 }
  return {
    title,
    transform: [
      ofChart(chart),
      { calculate: `datum.server === '${BARE.name}' ? datum.median : 0`, as: 'bare' },
      { joinaggregate: [{ op: 'max', field: 'bare', as: 'unit' }], groupby: ['x'] },
      { filter: 'datum.unit > 0' },
      { calculate: 'datum.median / datum.unit', as: 'relative' },
    ],
    mark: { type: 'line', point: true },
    encoding: {
      x: { field: 'x', type: 'quantitative', scale: { type: 'log', base: 4 }, title: 'bytes per message', axis },
      y: { field: 'relative', type: 'quantitative', scale: { type: 'log', base: 2 }, title: 'times the bare loop' },
      color: NAMED_COLOUR,
    },
  }
}

function percentiles(title: string, chart: string): Chart {
  return {
    title,
    height: 200,
    transform: [ofChart(chart)],
    mark: { type: 'point', filled: true, size: 70 },
    encoding: {
      y: { field: 'x', type: 'nominal', sort: null, title: null },
      yOffset: { field: 'server', type: 'nominal', sort: NAMES },
      x: { field: 'median', type: 'quantitative', scale: { type: 'log' }, title: 'microseconds, logarithmic' },
      color: NAMED_COLOUR,
    },
  }
}
